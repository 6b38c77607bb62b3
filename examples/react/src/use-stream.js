import { useEffect, useState } from "react";
import { connect } from "dashboard-rt-client";

const NOTHING = { data: undefined, state: "connecting", transport: undefined, verdict: undefined };

/** What a stream has shown last, and whether it is live. The connection lives as long as the component. */
export function useStream(url, stream) {
  const [shown, setShown] = useState(NOTHING);
  useEffect(() => {
    const change = (news) => setShown((before) => ({ ...before, ...news }));
    setShown(NOTHING); // of another stream, when url or stream have changed
    const client = connect({
      url,
      stream,
      onUpdate: (data) => change({ data }),
      onState: (state, { transport }) => change({ state, transport }),
      onVerdict: ({ verdict }) => change({ verdict }),
    });
    return () => client.close();
  }, [url, stream]);
  return shown;
}
