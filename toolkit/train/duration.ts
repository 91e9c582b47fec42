/** Times in words. */

/** Seconds as `40 s`, `12 min` or `3 h 20 min`. */
export function minutes(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  const whole = Math.round(seconds / 60);
  return whole < 90 ? `${whole} min` : `${Math.floor(whole / 60)} h ${whole % 60} min`;
}
