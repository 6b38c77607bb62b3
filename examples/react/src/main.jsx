import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { useStream } from "./use-stream.js";

const percent = (figure) => (typeof figure === "number" ? `${figure.toFixed(1)} %` : "–");

function Dashboard() {
  const { data, state, transport } = useStream("http://127.0.0.1:3000/", "dashboard_updates");
  return (
    <>
      <h1>A React page</h1>
      <p id="state" role="status">{transport ? `${state} over ${transport}` : state}</p>
      <p style={{ opacity: state === "live" ? 1 : 0.5 }}>
        CPU <output id="cpu">{percent(data?.metrics?.cpu)}</output> · memory{" "}
        <output id="memory">{percent(data?.metrics?.memory)}</output>
      </p>
    </>
  );
}

createRoot(document.getElementById("root")).render(<StrictMode><Dashboard /></StrictMode>);
