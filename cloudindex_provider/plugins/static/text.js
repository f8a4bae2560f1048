// Words and numbers as people read them, and keys as they are: every character of a key is shown, none acts.

const React = globalThis.React;
const h = React.createElement;

// What would be invisible, move the cursor, turn the reading direction, or look like a space or like nothing at all.
const HIDDEN = /([\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]|(?![ \u3000])\p{Zs}|^ | $)/u;

function code(char) {
  const hex = char.codePointAt(0).toString(16);
  return hex.length > 4 ? `\\U${hex.padStart(8, "0")}` : `\\u${hex.padStart(4, "0")}`;
}

function Mark({ title, children }) {
  return h("span", { style: { border: "1px solid currentColor", borderRadius: 3, fontSize: "0.85em", padding: "0 2px" }, title }, children);
}

// A key or another text that somebody else has chosen. React makes text of it, never markup.
export function Foreign({ text, mono = true }) {
  const value = String(text ?? "");
  const parts = HIDDEN.test(value)
    ? value.split(HIDDEN).map((part, at) => (at % 2 ? h(Mark, { key: at, title: "A character that isn't shown" }, code(part)) : part))
    : value;
  const style = { fontFamily: mono ? "var(--chakra-fonts-mono, monospace)" : undefined, overflowWrap: "anywhere", unicodeBidi: "isolate", whiteSpace: "pre-wrap" };
  return h("bdi", { dir: "ltr", style }, parts);
}

// The key of an object. Two can look alike in every pixel, and differ in how their accents are encoded.
export function ObjectKey({ text }) {
  const isDecomposed = text !== text.normalize("NFC");
  return h("span", null, h(Foreign, { text }), isDecomposed ? [" ", h(Mark, { key: "form", title: "Its accents are characters of their own (decomposed Unicode, as macOS writes names): typed on a keyboard it is another key" }, "NFD")] : null);
}

export function number(value) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en-US");
}

export function plural(value, noun) {
  return `${number(value)} ${noun}${value === 1 ? "" : "s"}`;
}

export function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  if (bytes === 1) return "1 byte";
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let at = 0;
  while (value >= 999.5 && at < units.length - 1) {
    value /= 1000;
    at += 1;
  }
  return `${at === 0 || value >= 99.5 ? Math.round(value).toLocaleString("en-US") : value.toFixed(1)} ${units[at]}`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 90) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 120) return `${minutes} min`;
  if (whole < 172800) return `${Math.floor(minutes / 60)} h${minutes % 60 ? ` ${minutes % 60} min` : ""}`;
  return `${Math.round(whole / 86400)} days`;
}

// What CloudIndex allows, as one of `Numbers`; nothing where that isn't known.
export function quota(budget) {
  if (!budget) return [];
  if (budget.closed_for > 0) return [["Quota", `used up for ${duration(budget.closed_for)}`, "warning"]];
  if (!budget.requests_per_minute) return [];
  const left = budget.remaining === null ? "" : `, ${number(budget.remaining)} left now`;
  return [["Quota", `${number(Math.round(budget.requests_per_minute))} requests a minute${left}`]];
}

// A moment, told by how long ago it is; the whole of it on hover.
export function Moment({ at, now }) {
  if (at === null || at === undefined) return "–";
  const away = at - now;
  const words = Math.abs(away) < 5 ? "now" : away > 0 ? `in ${duration(away)}` : `${duration(-away)} ago`;
  return h("time", { dateTime: new Date(at * 1000).toISOString(), title: new Date(at * 1000).toLocaleString() }, words);
}

// When Airflow runs it next. A moment that has passed is still ahead of it: it comes as soon as there is room.
export function NextRun({ sync, now }) {
  if (sync.is_paused) return "paused";
  if (!sync.next_run_at) return "not scheduled";
  return sync.next_run_at <= now ? "due now" : h(Moment, { at: sync.next_run_at, now });
}

// A moment as S3 lists it, in the way of Airflow's own tables.
export function s3Time(text) {
  const found = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.0+)?Z$/.exec(text ?? "");
  return found ? `${found[1]} ${found[2]} UTC` : text;
}

export const STATUS_WORDS = {
  pending: "Waiting", uploading: "Uploading", processing: "Processing", indexed: "Indexed", failed: "Failed",
  quarantined: "Quarantined", skipped: "Skipped", deleting: "Deleting",
};

const SKIP_WORDS = {
  folder_marker: "Folder markers", empty: "Empty objects", excluded: "Left out by include or exclude",
  unsupported_type: "A file type that CloudIndex doesn't document", too_large: "Too large", archived: "Archived in S3",
  invalid_key: "A key that can't be stored", owned_by_other: "Another sync has it", opted_out: "Opted out by metadata",
  encoded: "A Content-Encoding that can't be decoded",
};

export function reasonWords(status, reason) {
  if (status === "skipped") return SKIP_WORDS[reason] ?? reason ?? "";
  return reason || { pending: "Not uploaded yet", uploading: "Being sent, or in doubt", processing: "CloudIndex processes it", deleting: "Its document is being deleted" }[status] || "";
}
