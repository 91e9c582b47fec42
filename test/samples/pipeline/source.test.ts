import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openSource, type TimedFrame } from "../../../samples/driver-monitoring/headless/source.js";

let folder: string;
/** An environment in which ffmpeg is a script: a stand-in with the real one's arguments and output. */
const envWith = (script: string): NodeJS.ProcessEnv => {
  const bin = mkdtempSync(join(folder, "bin-"));
  const program = join(bin, "ffmpeg");
  writeFileSync(program, `#!${process.execPath}\n${script}`);
  chmodSync(program, 0o755);
  return { PATH: bin };
};

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "edgefit-source-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function all(frames: AsyncIterable<TimedFrame>): Promise<TimedFrame[]> {
  const list: TimedFrame[] = [];
  for await (const f of frames) list.push(f);
  return list;
}

describe("pictures from a folder", () => {
  test("come in the order of their numbers, at the given rate, upright", async () => {
    const images = join(folder, "images");
    mkdirSync(images);
    const image = (level: number) =>
      sharp({ create: { width: 6, height: 4, channels: 3, background: { r: level, g: 0, b: 0 } } });
    await image(10).png().toFile(join(images, "f2.png"));
    await image(20).png().toFile(join(images, "f10.png"));
    await image(30).withMetadata({ orientation: 6 }).jpeg().toFile(join(images, "f11.jpg"));
    writeFileSync(join(images, "notes.txt"), "");
    const frames = await all(await openSource(images, { rate: 10 }));
    expect(frames.map((f) => [f.name, f.timeMs])).toEqual([
      ["f2.png", 0],
      ["f10.png", 100],
      ["f11.jpg", 200],
    ]);
    expect(frames.map((f) => f.frame.data[0]).slice(0, 2)).toEqual([10, 20]);
    expect([frames[2].frame.width, frames[2].frame.height]).toEqual([4, 6]);
  });

  test("a file that is no image is named", async () => {
    const file = join(folder, "broken.png");
    writeFileSync(file, "not an image");
    await expect(all(await openSource(file))).rejects.toMatchObject({ code: "image-unreadable", where: file });
  });

  test("a missing source, and a folder without images, are refused", async () => {
    await expect(openSource(join(folder, "nowhere"))).rejects.toMatchObject({ code: "source-missing" });
    const empty = join(folder, "empty");
    mkdirSync(empty);
    await expect(openSource(empty)).rejects.toMatchObject({ code: "source-empty" });
  });
});

describe.skipIf(process.platform === "win32")("pictures from ffmpeg", () => {
  const video = () => {
    const file = join(folder, "drive.mp4");
    writeFileSync(file, "");
    return file;
  };

  test("without ffmpeg, a video and a camera are refused with what to do", async () => {
    for (const source of [video(), "camera"]) {
      await expect(openSource(source, { env: { PATH: "" } })).rejects.toMatchObject({
        code: "ffmpeg-missing",
        hint: expect.stringContaining("install ffmpeg"),
      });
    }
  });

  test("a video comes picture by picture at its rate", async () => {
    const env = envWith(`
      const input = process.argv[process.argv.indexOf("-i") + 1];
      if (!input.endsWith("drive.mp4")) process.exit(1);
      for (let i = 1; i <= 3; i++) process.stdout.write(Buffer.alloc(640 * 480 * 3, i));`);
    const frames = await all(await openSource(video(), { env, rate: 25 }));
    expect(frames.map((f) => [f.timeMs, f.frame.data[0], f.frame.data[921_599]])).toEqual([
      [0, 1, 1],
      [40, 2, 2],
      [80, 3, 3],
    ]);
  });

  test("a camera that outruns the reader loses pictures, not time", async () => {
    const env = envWith(`
      let i = 0;
      setInterval(() => (i < 30 ? process.stdout.write(Buffer.alloc(640 * 480 * 3, ++i)) : process.exit()), 10);`);
    const levels: number[] = [];
    for await (const { frame } of await openSource("camera", { env })) {
      levels.push(frame.data[0]);
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    expect(levels.length).toBeGreaterThan(1);
    expect(levels.length).toBeLessThan(30);
    expect([...levels].sort((a, b) => a - b)).toEqual(levels);
  });

  test("what ffmpeg says becomes the error, and leaving early ends it", async () => {
    const failing = envWith('process.stderr.write("drive.mp4: Invalid data found\\n"); process.exit(1);');
    await expect(all(await openSource(video(), { env: failing }))).rejects.toMatchObject({
      code: "ffmpeg-failed",
      message: expect.stringContaining("Invalid data found"),
    });
    const marker = join(folder, "pid");
    const endless = envWith(`
      require("node:fs").writeFileSync(${JSON.stringify(marker)}, String(process.pid));
      const more = () => process.stdout.write(Buffer.alloc(640 * 480 * 3), more);
      more();`);
    for await (const _ of await openSource(video(), { env: endless })) break;
    const pid = Number((await import("node:fs")).readFileSync(marker, "utf8"));
    await expect
      .poll(() => {
        try {
          return process.kill(pid, 0);
        } catch {
          return "gone";
        }
      })
      .toBe("gone");
  });
});
