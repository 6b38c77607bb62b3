/**
 * Event streams and the events that a browser makes of them. The cases are those of web-platform-tests `eventsource/format-*.any.js`, under
 * their names, and of the section "basic parsing" of LaunchDarkly's sse-contract-tests.
 */

const message = (data, lastEventId = "", type = "message") => ({ type, data, lastEventId });

/** @type {{name: string, stream: string, events: object[], retry?: number, id?: string}[]} */
export const EVENT_STREAMS = [
  { name: "format-bom", stream: "\uFEFFdata:1\n\n\uFEFFdata:2\n\ndata:3\n\n", events: [message("1"), message("3")] },
  { name: "format-bom-2", stream: "\uFEFF\uFEFFdata:1\n\ndata:2\n\ndata:3\n\n", events: [message("2"), message("3")] },
  {
    name: "format-comments",
    stream: `data:1\r:\0\n:\r\ndata:2\n:${"x".repeat(2 * 1024)}\rdata:3\n:data:fail\r:${"x".repeat(2 * 1024)}\ndata:4\n\n`,
    events: [message("1\n2\n3\n4")],
  },
  {
    name: "format-data-before-final-empty-line",
    stream: "retry:1000\ndata:test1\n\nid:test\ndata:test2",
    events: [message("test1")],
    retry: 1000,
    id: "",
  },
  { name: "format-field-data", stream: "data:\n\ndata\ndata\n\ndata:test\n\n", events: [message(""), message("\n"), message("test")] },
  { name: "format-field-event", stream: "event:test\ndata:x\n\ndata:x\n\n", events: [message("x", "", "test"), message("x")] },
  { name: "format-field-event-empty", stream: "event: \ndata:data\n\n", events: [message("data")] },
  { name: "format-field-id", stream: "id: 1\ndata:hello\n\n", events: [message("hello", "1")], id: "1" },
  { name: "format-field-id-2", stream: "id: \u2026\ndata: 1\n\ndata: 2\n\n", events: [message("1", "\u2026"), message("2", "\u2026")], id: "\u2026" },
  {
    name: "format-field-id-3",
    stream: "id: 1\ndata:1\n\nid\ndata:2\n\nid:3\ndata:3\n\n",
    events: [message("1", "1"), message("2", ""), message("3", "3")],
    id: "3",
  },
  ...["\0\0\0", "x\0", "\0x", "x\0x", " \0", "5\0"].map((value) => ({
    name: `format-field-id-null ${JSON.stringify(value)}`,
    stream: `data: b\nid: ${value}\n\n`,
    events: [message("b")],
    id: "",
  })),
  {
    name: "format-field-id-null keeps the one before",
    stream: "id:1\ndata:a\n\nid:x\0\ndata:b\n\n",
    events: [message("a", "1"), message("b", "1")],
    id: "1",
  },
  {
    name: "format-field-parsing",
    stream: "data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n",
    events: [message("\0\n 2\n1\n3\n\n4")],
  },
  { name: "format-field-retry", stream: "retry:03000\ndata:x\n\n", events: [message("x")], retry: 3000 },
  { name: "format-field-retry-bogus", stream: "retry:3000\nretry:1000x\nretry:-5\nretry:1.5\nretry:1e3\nretry: \u0661\ndata:x\n\n", events: [message("x")], retry: 3000 },
  { name: "format-field-retry-empty", stream: "retry\nretry:\ndata:test\n\n", events: [message("test")], retry: undefined },
  { name: "format-field-unknown", stream: "data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\n\n", events: [message("test\n")] },
  { name: "format-leading-space", stream: "data:\ttest\rdata: \ndata:test\n\n", events: [message("\ttest\n\ntest")] },
  { name: "format-newlines", stream: 'data:test\r\ndata\ndata:test\r\n\r', events: [message("test\n\ntest")] },
  { name: "format-newlines, CR alone", stream: "data:1\r\rdata:2\r\r", events: [message("1"), message("2")] },
  { name: "format-null-character", stream: "data:\0\n\n\n\n", events: [message("\0")] },
  { name: "format-utf-8", stream: "data:ok\u2026 \u{1F642} \u00E4\n\n", events: [message("ok\u2026 \u{1F642} \u00E4")] },

  { name: "one-line message", stream: "data: Hello\n\n", events: [message("Hello")] },
  { name: "two messages", stream: "data: Hello\n\ndata: World\n\n", events: [message("Hello"), message("World")] },
  { name: "multi-line message", stream: "data: Hello\ndata: World\n\n", events: [message("Hello\nWorld")] },
  { name: "all fields, in any order", stream: "id: 9\ndata: Hello\nevent: greeting\n\n", events: [message("Hello", "9", "greeting")], id: "9" },
  { name: "the name does not last", stream: "event: a\ndata: 1\n\ndata: 2\n\n", events: [message("1", "", "a"), message("2")] },
  { name: "the id lasts", stream: "id: 7\ndata: 1\n\nevent: b\ndata: 2\n\n", events: [message("1", "7"), message("2", "7", "b")], id: "7" },
  { name: "no data, no event; its name is forgotten, its id is not", stream: "event: a\nid: 7\n\ndata: 1\n\n", events: [message("1", "7")], id: "7" },
  { name: "comments alone", stream: ":\n\n: x\n\n", events: [] },
  { name: "an unknown field alone", stream: "color: red\n\n", events: [] },
  { name: "a colon in the data", stream: "data: a: b:c\n\n", events: [message("a: b:c")] },
  { name: "only one space is dropped", stream: "data:  x\n\n", events: [message(" x")] },
  { name: "field names have cases", stream: "DATA: x\ndata: y\n\n", events: [message("y")] },
  { name: "an id of an unfinished event is not kept", stream: "id: 1\ndata: a\n\nid: 2\ndata: b\n", events: [message("a", "1")], id: "1" },
  { name: "a stream of nothing", stream: "", events: [] },
  { name: "a byte order mark alone", stream: "\uFEFF", events: [] },
  { name: "a byte order mark within data stays", stream: "data: \uFEFFx\n\n", events: [message("\uFEFFx")] },
];
