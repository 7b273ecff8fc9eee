/** Numbers and times as people read them, in the browser's language. */

const WHOLE = new Intl.NumberFormat();
const SHORT = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const UTC_DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });
const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

export const whole = (value: number): string => WHOLE.format(value);
export const short = (value: number): string => SHORT.format(value);
export const dateOf = (iso: string): string => DATE.format(new Date(iso));
export const momentOf = (iso: string): string => MOMENT.format(new Date(iso));
/** A day of the UTC calendar, written like 2026-12-31. */
export const utcDay = (day: string): string => UTC_DAY.format(new Date(`${day}T00:00:00Z`));

const STEPS: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** How long ago, or how far ahead, like "3 hours ago". */
export function relative(iso: string, now = Date.now()): string {
  const seconds = (new Date(iso).getTime() - now) / 1000;
  for (const [unit, length] of STEPS) {
    if (Math.abs(seconds) >= length) return RELATIVE.format(Math.trunc(seconds / length), unit);
  }
  return seconds > 0 ? "in a moment" : "just now";
}

/** The last `count` days of the UTC calendar, oldest first. */
export function lastDays(count: number, now = Date.now()): string[] {
  return Array.from({ length: count }, (_, index) =>
    new Date(now - (count - 1 - index) * 86_400_000).toISOString().slice(0, 10),
  );
}

const BROWSERS: readonly [RegExp, string][] = [
  [/\bEdg(?:e|A|iOS)?\//, "Edge"],
  [/\bOPR\//, "Opera"],
  [/\bSamsungBrowser\//, "Samsung Internet"],
  [/\b(?:Firefox|FxiOS)\//, "Firefox"],
  [/(?:Chrome|Chromium|CriOS)\//, "Chrome"],
  [/\bSafari\//, "Safari"],
];
const SYSTEMS: readonly [RegExp, string][] = [
  [/iPhone/, "iPhone"],
  [/iPad/, "iPad"],
  [/Android/, "Android"],
  [/Windows/, "Windows"],
  [/Mac OS X|Macintosh/, "Mac"],
  [/CrOS/, "ChromeOS"],
  [/Linux|X11/, "Linux"],
];

/** What a client calls itself, in a few words. What is no browser is named by its own first word. */
export function clientName(agent: string): string {
  const find = (known: readonly [RegExp, string][]) => known.find(([form]) => form.test(agent))?.[1];
  const browser = agent.startsWith("Mozilla/") ? find(BROWSERS) : undefined;
  if (!browser) return agent.split(/[/\s]/)[0] || "Unknown client";
  const system = find(SYSTEMS);
  return system ? `${browser} on ${system}` : browser;
}
