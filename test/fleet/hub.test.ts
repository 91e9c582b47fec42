/** A hub on a queue: what joins it works for everyone, models and data go through its server. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runAgent } from "../../runners/agent/agent.js";
import { connect, listDevices, openFleetRunner } from "../../runners/fleet/index.js";
import { openLocalRunner } from "../../runners/node/index.js";
import { startQueueHub } from "../../toolkit/fleet/hub.js";
import { convModel, wire } from "../runners/models.js";
import { hasRedis, NEEDS_REDIS, startRedis } from "../support/redis.js";

const image = wire(
  Array.from({ length: 3 * 16 * 16 }, (_, i) => Math.cos(i)),
  [1, 3, 16, 16],
);

test.skipIf(!hasRedis)(
  `a board joins a hub, leaves in the middle of its work, and comes back${NEEDS_REDIS}`,
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "edgefit-hub-"));
    const server = await startRedis();
    const notes: string[] = [];
    const hub = await startQueueHub({
      queue: server.url,
      host: "127.0.0.1",
      port: 0,
      folder,
      blobs: join(folder, "blobs"),
      class: "boards",
      onNote: (text) => notes.push(text),
    });
    const stop = new AbortController();
    const agent = (name: string, signal: AbortSignal) =>
      runAgent({ hub: hub.pageUrl, name, signal, stateFolder: join(folder, name) });
    let first: AbortController | undefined = new AbortController();
    const agents = [agent("board-a", first.signal)];
    const fleet = await connect({ queue: server.url });
    try {
      await expect.poll(() => listDevices(fleet.redis), { timeout: 30_000 }).toHaveLength(1);
      const [lent] = await listDevices(fleet.redis);
      expect(lent).toMatchObject({ class: "boards", id: expect.stringMatching(/^hub-\d+\.board-a$/) });
      const runner = await openFleetRunner({ ...fleet, target: { class: "boards" } });
      try {
        const { id } = await runner.load(convModel());
        const local = await openLocalRunner();
        const here = await local.load(convModel());
        expect(await runner.run(id, { x: image })).toEqual(await local.run(here.id, { x: image }));
        await local.close();

        const asked = runner.measure({ models: [{ id, feeds: { x: image } }], minTimeMs: 4000, minWarmupMs: 0 });
        await expect.poll(async () => (await listDevices(fleet.redis))[0]?.state, { timeout: 10_000 }).toBe("busy");
        first.abort();
        first = undefined;
        await expect.poll(() => listDevices(fleet.redis), { timeout: 20_000 }).toEqual([]);
        agents.push(agent("board-b", stop.signal));
        const [row] = await asked;
        expect(row.samplesMs.length).toBeGreaterThan(10);
        expect((await listDevices(fleet.redis)).map((d) => d.id)).toEqual([lent.id.replace("board-a", "board-b")]);
        expect(notes.join("\n")).toMatch(/board-a takes no more work/);
      } finally {
        await runner.close();
      }
    } finally {
      fleet.close();
      first?.abort();
      stop.abort();
      await Promise.allSettled(agents);
      await hub.close();
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    }
  },
  120_000,
);
