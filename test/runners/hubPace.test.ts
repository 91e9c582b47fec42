/** Heat: a device that has become slow is asked to cool down, and goes on when it has, when it is told to, or after a while. */
import { expect, test } from "vitest";
import { COOL, HOT, pace } from "../../runners/web/reference.js";

/** A device whose computation takes `speed.ms`; waiting passes time and calls `onSleep`. */
function device(onSleep: (speed: { ms: number }) => void = () => {}) {
  const clock = { t: 0 };
  const speed = { ms: 1 };
  const reference = pace(
    () => clock.t,
    0.005,
    () => {
      clock.t += speed.ms;
    },
    async (ms) => {
      clock.t += ms;
      onSleep(speed);
    },
  );
  const told: { slower: number; waiting: boolean }[] = [];
  const cool = (skip = () => false, signal = new AbortController().signal) =>
    reference.cool({ signal, skip, tell: (slower, waiting) => told.push({ slower, waiting }) });
  return { clock, speed, reference, told, cool };
}

test("a device at its best waits for nothing; one that is a little slower neither", async () => {
  const d = device();
  await d.cool();
  d.speed.ms = 1 + HOT / 2;
  await d.cool();
  expect(d.told.map((t) => t.waiting)).toEqual([false, false]);
  expect(d.told[1].slower).toBeCloseTo(HOT / 2, 6);
});

test("a throttled one waits until it has cooled down", async () => {
  let looks = 0;
  const d = device((speed) => {
    if (++looks === 3) speed.ms = 1 + COOL / 2;
  });
  await d.cool();
  d.speed.ms = 2;
  await d.cool();
  expect(looks).toBe(3);
  expect(d.told.slice(1).map((t) => t.waiting)).toEqual([true, true, true, false]);
  expect(d.told[1].slower).toBeCloseTo(1, 6);
});

test("it goes on when a person says so, and after two minutes in any case", async () => {
  const d = device();
  await d.cool();
  d.speed.ms = 2;
  let asked = 0;
  await d.cool(() => ++asked > 2);
  expect(d.told.at(-1)?.waiting).toBe(false);
  const from = d.clock.t;
  await d.cool();
  expect(d.clock.t - from).toBeGreaterThan(110_000);
  expect(d.clock.t - from).toBeLessThan(130_000);
});

test("stopping the job ends the wait", async () => {
  const controller = new AbortController();
  const d = device(() => controller.abort(new Error("stopped")));
  await d.cool();
  d.speed.ms = 2;
  await expect(d.cool(() => false, controller.signal)).rejects.toThrow("stopped");
});

test("with a clock of whole milliseconds it still tells slow from fast", () => {
  const clock = { t: 0 };
  let ms = 0.3;
  const reference = pace(
    () => Math.floor(clock.t),
    1,
    () => {
      clock.t += ms;
    },
  );
  reference.look();
  ms = 0.6;
  expect(reference.look()).toBeGreaterThan(0.8);
});
