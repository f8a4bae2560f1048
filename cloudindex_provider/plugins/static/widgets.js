// What the views are made of, from the host's own components, so that it looks and darkens as Airflow does.

import { Foreign, number, STATUS_WORDS } from "./text.js";

const { createElement: h, useEffect, useRef } = globalThis.React;
const { Link: RouterLink, useSearchParams } = globalThis.ReactRouterDOM;
const { Alert, Badge, Box, Button, Flex, Heading, HStack, Link, Spinner, Stack, Table, Text } = globalThis.ChakraUI;

const PALETTES = { ok: "green", busy: "blue", warning: "orange", error: "red", unknown: "gray" };
const STATUS_LEVELS = { indexed: "ok", failed: "error", quarantined: "warning", skipped: "unknown" };

export function Level({ level, children }) {
  return h(Badge, { colorPalette: PALETTES[level] ?? "gray", "data-level": level, size: "md", variant: "surface" }, children);
}

export function Status({ status }) {
  return h(Level, { level: STATUS_LEVELS[status] ?? "busy" }, STATUS_WORDS[status] ?? status);
}

// The page's own place: parameters of the address, so that everything can be linked to. `undefined` takes one away.
export function usePlace() {
  const [params, setParams] = useSearchParams();
  const go = (changes) => setParams((before) => withChanges(before, changes));
  const link = (changes) => ({ search: `?${withChanges(params, changes)}` });
  return { go, link, params };
}

function withChanges(params, changes) {
  const next = new URLSearchParams(params);
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined || value === null || value === "") next.delete(name);
    else next.set(name, String(value));
  }
  return next;
}

export function To({ to, children, ...rest }) {
  return h(Link, { asChild: true, color: "fg.info", ...rest }, h(RouterLink, { to }, children));
}

export function RunLink({ dagId, runId, children }) {
  if (!dagId) return children ?? h(Foreign, { text: runId === "" ? "of a DAG that you may not read" : runId ?? "by a person", mono: false });
  const path = `/dags/${encodeURIComponent(dagId)}/runs/${encodeURIComponent(runId)}`;
  return h(To, { to: path }, children ?? h(Foreign, { text: runId, mono: false }));
}

export function DagLink({ dagId }) {
  return h(To, { to: `/dags/${encodeURIComponent(dagId)}` }, h(Foreign, { text: dagId, mono: false }));
}

export function Loading({ what }) {
  return h(HStack, { "aria-live": "polite", minH: "10rem", role: "status" }, h(Spinner, { size: "sm" }), h(Text, null, `Loading ${what} …`));
}

// What is there stays while its successor is fetched, and is seen to be the old one.
export function Waiting({ busy, children }) {
  return h(Box, { "aria-busy": busy, opacity: busy ? 0.5 : 1 }, children);
}

export function Note({ status = "info", title, children, action }) {
  return h(Alert.Root, { role: status === "error" ? "alert" : "status", status, variant: "surface" },
    h(Alert.Indicator, null),
    h(Alert.Content, null, h(Alert.Title, null, title), children ? h(Alert.Description, { as: "div", color: "fg" }, children) : null),
    action ?? null);
}

const TITLES = {
  state_unavailable: "The state can't be reached",
  state_unusable: "The state can't be used",
  signed_out: "You are signed out",
  refused: "This isn't allowed",
  not_found: "There is nothing here that you may see",
  settings: "This address isn't right",
  unknown: "Airflow answered with an error",
};

export function Failure({ error, reload }) {
  const again = h(Button, { onClick: error.what === "signed_out" ? () => window.location.reload() : reload, size: "sm", variant: "outline" },
    error.what === "signed_out" ? "Sign in" : "Try again");
  return h(Note, { action: again, status: "error", title: TITLES[error.what] ?? "Airflow didn't answer" },
    h(Stack, { gap: 1 }, h(Foreign, { mono: false, text: error.message }), error.hint ? h(Text, null, error.hint) : null));
}

export function Empty({ title, children }) {
  return h(Box, { borderRadius: "md", borderWidth: 1, p: 6 }, h(Heading, { as: "h3", size: "sm" }, title), h(Text, { color: "fg.muted", mt: 1 }, children));
}

// columns: [{name, end, text, width}], rows: [[cells]]; it scrolls by itself, by keyboard, too. A column of `text`, which
// breaks anywhere, is never squeezed to a letter a line by its neighbours.
export function DataTable({ label, columns, rows, minWidth = "40rem" }) {
  return h(Table.ScrollArea, { "aria-label": label, borderWidth: 1, borderRadius: "md", role: "region", tabIndex: 0 },
    h(Table.Root, { "aria-label": label, interactive: true, minW: minWidth, size: "sm" },
      h(Table.Header, null, h(Table.Row, null, columns.map((column) =>
        h(Table.ColumnHeader, { key: column.name, scope: "col", minW: column.text ? "16rem" : undefined, textAlign: column.end ? "end" : "start", width: column.width }, column.name)))),
      h(Table.Body, null, rows.map(({ key, cells, ...rest }) =>
        h(Table.Row, { key, ...rest }, cells.map((cell, at) =>
          h(Table.Cell, { fontVariantNumeric: columns[at].end ? "tabular-nums" : undefined, key: columns[at].name, textAlign: columns[at].end ? "end" : "start", verticalAlign: "top", whiteSpace: columns[at].text ? "normal" : undefined }, cell)))))));
}

export function Numbers({ items }) {
  return h(Flex, { as: "dl", gap: 6, wrap: "wrap" }, items.map(([name, value, level]) =>
    h(Box, { key: name, minW: "6rem" },
      h(Text, { as: "dt", color: "fg.muted", fontSize: "sm" }, name),
      h(Text, { as: "dd", color: value && level ? `${PALETTES[level]}.fg` : undefined, fontSize: "xl", fontVariantNumeric: "tabular-nums", fontWeight: "semibold", m: 0 },
        typeof value === "number" ? number(value) : value))));
}

export function Tabs({ label, items }) {
  return h(Flex, { "aria-label": label, as: "nav", borderBottomWidth: 1, gap: 1, wrap: "wrap" }, items.map(({ name, to, current }) =>
    h(Link, { _hover: { bg: "bg.muted" }, "aria-current": current ? "page" : undefined, asChild: true, borderBottomWidth: 2, borderColor: current ? "fg.info" : "transparent", color: current ? "fg" : "fg.muted", fontWeight: current ? "semibold" : "normal", key: name, px: 3, py: 2 },
      h(RouterLink, { to }, name))));
}

// Says what an action has done, and is heard by who doesn't see it.
export function Said({ said }) {
  return h(Box, { "aria-live": "polite", position: said ? undefined : "absolute" }, said ? h(Note, { status: said.ok ? "success" : "error", title: said.text }, said.hint) : null);
}

// The heading of a view takes the focus when the view changes, so that a keyboard or a screen reader goes on there.
export function Title({ children, place, ...rest }) {
  const heading = useRef(null);
  const before = useRef(place);
  useEffect(() => {
    if (before.current !== place) heading.current?.focus();
    before.current = place;
  }, [place]);
  return h(Heading, { as: "h1", outline: "none", ref: heading, size: "lg", tabIndex: -1, ...rest }, children);
}
