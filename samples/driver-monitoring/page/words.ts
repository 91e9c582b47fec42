/** What the page says, in words: states and alerts as short, calm sentences. */
import type { Alert, DriverState } from "../behaviour/index.js";

export interface Saying {
  /** `calm` when there is nothing to do. */
  level: "calm" | Alert["level"];
  title: string;
  detail: string;
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

function sayingOf(alert: Alert, s: DriverState): Saying {
  const { level } = alert;
  switch (alert.kind) {
    case "microsleep":
      return {
        level,
        title: "Wake up",
        detail: `Eyes closed${s.eyes.closedMs > 0 ? ` for ${seconds(s.eyes.closedMs)}` : ""}`,
      };
    case "drowsiness":
      return level === "notice"
        ? { level, title: "You seem tired", detail: "Plan a break soon" }
        : { level, title: "Take a break", detail: "Signs of drowsiness in the last minutes" };
    case "distraction":
      return {
        level,
        title: "Eyes on the road",
        detail:
          s.attention.offRoadMs > 0
            ? `Looking away for ${seconds(s.attention.offRoadMs)}`
            : "Often away in the last half minute",
      };
    case "face-lost":
      return { level, title: "Driver not in view", detail: "The camera sees no face" };
    case "eyes-hidden":
      return { level, title: "Eyes not visible", detail: "Only the head's direction is watched" };
  }
}

/** The one thing to show now. */
export function sayingFor(s: DriverState): Saying {
  const [first] = s.alerts;
  if (first) return sayingOf(first, s);
  switch (s.status) {
    case "no-face":
      return { level: "calm", title: "Looking for a face", detail: "Sit where the camera sees you" };
    case "calibrating":
      return {
        level: "calm",
        title: "Getting to know your eyes",
        detail: `Look ahead, ${Math.round(100 * s.calibration)} %`,
      };
    default:
      return { level: "calm", title: "All well", detail: "Attentive" };
  }
}

const zones = { road: "on the road", mirror: "at a mirror", down: "down", away: "away" } as const;

/** Where the attention lies. */
export const attentionWord = (s: DriverState): string =>
  s.attention.zone ? zones[s.attention.zone] : s.status === "calibrating" ? "learning" : "not known";

/** The state of the eyes over time. */
export function drowsinessWord(s: DriverState): string {
  if (s.drowsiness !== "unknown") return s.drowsiness;
  return s.eyes.perclos === undefined && s.status !== "eyes-hidden" ? "collecting" : "not known";
}
