/**
 * The gate of GDP: g(θ) = θ² / (θ² + ε), in [0, 1), a smoothed count of nonzero θ. As ε shrinks, gates of θ² far above it go to 1 and
 * those far below to 0, and there is little in between.
 */

export const gateOf = (theta: number, epsilon: number): number => theta ** 2 / (theta ** 2 + epsilon);

/** dg/dθ = 2 ε θ / (θ² + ε)²; largest at |θ| = sqrt(ε / 3). */
export const gateSlope = (theta: number, epsilon: number): number =>
  (2 * epsilon * theta) / (theta ** 2 + epsilon) ** 2;

/** Gates below this are closed. */
export const CLOSED = 1e-3;

/** Gates as the net sees them: closed ones are exactly 0, so that leaving their channels out changes nothing. */
export const gatesFrom = (thetas: ReadonlyMap<string, Float64Array>, epsilon: number): Map<string, Float32Array> =>
  new Map(
    [...thetas].map(([id, list]) => {
      const gate = Float32Array.from(list, (theta) => gateOf(theta, epsilon));
      return [id, gate.map((g) => (g < CLOSED ? 0 : g))];
    }),
  );
