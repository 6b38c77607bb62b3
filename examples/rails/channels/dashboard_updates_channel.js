import consumer from "channels/consumer"

const show = (id, text) => { document.getElementById(id).textContent = text }
const percent = (figure) => (typeof figure === "number" ? `${figure.toFixed(1)} %` : "–")

consumer.subscriptions.create("DashboardUpdatesChannel", {
  connected() { show("state", "connected") },
  disconnected() { show("state", "disconnected: the figures may be old") },
  rejected() { show("state", "rejected") },
  received(data) {
    show("cpu", percent(data?.metrics?.cpu))
    show("memory", percent(data?.metrics?.memory))
  },
})
