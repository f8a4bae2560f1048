// Runs as bars: what became of their documents. Each has the same in words, for who doesn't see it.

import { duration, number, size } from "./text.js";

const { createElement: h } = globalThis.React;
const { Box, Flex, HStack, Stack, Text } = globalThis.ChakraUI;

const PARTS = [
  ["indexed", "Indexed", "var(--chakra-colors-green-solid, green)"],
  ["deleted", "Deleted", "var(--chakra-colors-purple-solid, purple)"],
  ["deferred", "Left to the next run", "var(--chakra-colors-blue-solid, blue)"],
  ["failed", "Failed", "var(--chakra-colors-red-solid, red)"],
  ["quarantined", "Quarantined", "var(--chakra-colors-orange-solid, orange)"],
];

function parts(run) {
  const counts = run.finished_at ? run.counts : { deferred: 0, indexed: (run.counts.uploaded ?? 0) + (run.counts.adopted ?? 0), ...run.counts };
  return PARTS.map(([name, words, color]) => ({ color, name, value: counts[name] ?? 0, words }));
}

function words(run) {
  const said = parts(run).filter((one) => one.value).map((one) => `${number(one.value)} ${one.words.toLowerCase()}`);
  return `${new Date(run.started_at * 1000).toLocaleString()}: ${said.join(", ") || "nothing to do"}`;
}

const PLAIN = "var(--chakra-colors-blue-solid, blue)";

// Height by the square root: a run of three documents is seen beside one of ten thousand. Without parts, a bar is the
// run's as a whole, and red where that failed.
function Bars({ runs, width, height, label, measure, divided = true, tell = words }) {
  const most = Math.max(1, ...runs.map(measure));
  const step = width / Math.max(runs.length, 30);
  return h("svg", { "aria-label": label, height, role: "img", viewBox: `0 0 ${width} ${height}`, width: "100%", preserveAspectRatio: "none", style: { display: "block", maxWidth: width } },
    h("line", { stroke: "currentColor", strokeOpacity: 0.3, x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5 }),
    runs.map((run, at) => {
      const total = measure(run);
      const tall = total ? Math.max(2, Math.sqrt(total / most) * (height - 2)) : 1;
      let y = height;
      const shown = divided ? parts(run).filter((one) => one.value) : [{ color: run.state === "failed" ? PARTS[3][2] : PLAIN, name: "all", value: 1 }];
      const all = shown.reduce((before, one) => before + one.value, 0);
      const bars = all && total ? shown : [{ color: run.state === "failed" ? PARTS[3][2] : "currentColor", name: "none", value: 1 }];
      return h("g", { key: run.id }, h("title", null, tell(run)), bars.map((one) => {
        const part = tall * (one.value / (all && total ? all : 1));
        y -= part;
        return h("rect", { fill: one.color, fillOpacity: one.name === "none" && run.state !== "failed" ? 0.35 : 1, height: part, key: one.name, width: Math.max(1, step - 1), x: at * step, y });
      }));
    }));
}

const documents = (run) => parts(run).reduce((before, one) => before + one.value, 0);

export function Sparkline({ runs }) {
  const bad = runs.filter((run) => run.state === "failed" || run.counts.failed).length;
  return h(Box, { width: "9rem" }, h(Bars, { height: 28, label: `The last ${runs.length} runs, ${bad} of them with failures`, measure: documents, runs, width: 144 }));
}

export function RunChart({ runs }) {
  const latest = runs[runs.length - 1];
  return h(Stack, { gap: 3 },
    h(Flex, { gap: 6, wrap: "wrap" },
      h(Chart, { label: "Documents by outcome", measure: documents, most: number, runs }),
      h(Chart, { divided: false, label: "Bytes uploaded", measure: (run) => run.counts.bytes ?? 0, most: size, runs }),
      h(Chart, { divided: false, label: "Duration", measure: (run) => run.seconds ?? 0, most: duration, runs })),
    h(HStack, { gap: 4, wrap: "wrap" }, PARTS.map(([name, text, color]) =>
      h(HStack, { gap: 1, key: name }, h(Box, { "aria-hidden": true, bg: color, boxSize: 3, style: { background: color } }), h(Text, { fontSize: "sm" }, text)))),
    latest ? null : h(Text, null, "No run yet."));
}

function Chart({ label, measure, most, runs, divided }) {
  const tell = divided === false ? (run) => `${new Date(run.started_at * 1000).toLocaleString()}: ${most(measure(run))}` : words;
  const peak = Math.max(0, ...runs.map(measure));
  return h(Box, { flex: "1 1 16rem", maxW: "24rem" },
    h(Text, { fontSize: "sm", fontWeight: "semibold" }, label),
    h(Text, { color: "fg.muted", fontSize: "xs" }, `at most ${most(peak)}`),
    h(Bars, { divided, height: 96, label: `${label} of the last ${runs.length} runs, at most ${most(peak)}`, measure, runs, tell, width: 384 }));
}
