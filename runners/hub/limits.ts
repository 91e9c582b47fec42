/** What a hub tolerates of a device. */
export interface Limits {
  /** From the socket's opening to the greeting; the runtime has been loaded before that. */
  greetingMs: number;
  /** Between two pings. */
  heartbeatMs: number;
  /** Pings without an answer after which a device counts as asleep or out of reach. */
  missedHeartbeats: number;
  /** A device that promises signs of life and sends none for this long while it works counts as hung. */
  silenceMs: number;
  /** The longest a single request may take. */
  jobMs: number;
  /** Largest message of a device, in bytes. */
  messageBytes: number;
  /** Messages per second that answer nothing; twice as many at once. */
  messagesPerSecond: number;
  /** Devices at once. */
  devices: number;
  /** Sockets that have not said anything yet; the oldest goes when one more comes. */
  silentSockets: number;
}

export const LIMITS: Limits = {
  greetingMs: 20_000,
  heartbeatMs: 5_000,
  missedHeartbeats: 6,
  silenceMs: 120_000,
  jobMs: 20 * 60_000,
  messageBytes: 256 * 2 ** 20,
  messagesPerSecond: 20,
  devices: 64,
  silentSockets: 16,
};

/** A bucket that fills at `perSecond` and holds twice that (token bucket). Returns whether one more may pass. */
export function rateLimit(perSecond: number, now: () => number = Date.now): () => boolean {
  let left = 2 * perSecond;
  let last = now();
  return () => {
    const t = now();
    left = Math.min(2 * perSecond, left + ((t - last) / 1000) * perSecond);
    last = t;
    if (left < 1) return false;
    left--;
    return true;
  };
}
