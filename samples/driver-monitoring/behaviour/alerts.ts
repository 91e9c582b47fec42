/** What the driver is told, and for how long it stays. */

export type AlertLevel = "notice" | "warning" | "critical";

export type AlertKind = "microsleep" | "drowsiness" | "distraction" | "face-lost" | "eyes-hidden";

export interface Alert {
  kind: AlertKind;
  level: AlertLevel;
  sinceMs: number;
}

const ORDER: readonly AlertLevel[] = ["notice", "warning", "critical"];

/** The graver of two levels. */
export const graver = (a: AlertLevel, b: AlertLevel): AlertLevel => (ORDER.indexOf(a) >= ORDER.indexOf(b) ? a : b);

/** Alerts with the gravest first. */
export const gravestFirst = (alerts: readonly Alert[]): Alert[] =>
  [...alerts].sort((a, b) => ORDER.indexOf(b.level) - ORDER.indexOf(a.level) || a.sinceMs - b.sinceMs);

/** Keeps alerts up for a while after their causes have gone. */
export class AlertBoard {
  private readonly up = new Map<AlertKind, { alert: Alert; causeMs: number }>();

  constructor(private readonly holdMs: number) {}

  /** @param causes what is the matter at `timeMs` */
  update(timeMs: number, causes: ReadonlyMap<AlertKind, AlertLevel>): Alert[] {
    for (const [kind, level] of causes) {
      const known = this.up.get(kind);
      const alert = known
        ? { ...known.alert, level: graver(known.alert.level, level) }
        : { kind, level, sinceMs: timeMs };
      this.up.set(kind, { alert, causeMs: timeMs });
    }
    for (const [kind, { causeMs }] of this.up) if (timeMs - causeMs > this.holdMs) this.up.delete(kind);
    return gravestFirst([...this.up.values()].map((u) => u.alert));
  }

  clear(): void {
    this.up.clear();
  }
}
