import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { commands } from "../../../toolkit/cli/commands.js";
import { runLine } from "../../cli/surroundings.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "edgefit-deploy-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("a folder for the web is served by the script that lies in it, file by file", async () => {
  const out = join(folder, "site");
  const line = ["deploy", "driver-monitoring", "--target", "web", "--out", out];
  const { status, stdout } = await runLine([...line, "--json"], commands);
  expect(status).toBe(0);
  const { files } = JSON.parse(stdout) as { files: string[] };
  expect(files).toEqual(expect.arrayContaining(["index.html", "offline.js", "models/reader.onnx", "serve.mjs"]));
  expect(readdirSync(folder)).toEqual(["site"]);

  const server = spawn(process.execPath, [join(out, "serve.mjs"), "0"], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const url = await new Promise<string>((resolve) => {
      server.stdout.setEncoding("utf8").once("data", (text: string) => resolve(text.trim()));
    });
    for (const [path, type] of [
      ["", "text/html"],
      ["page.js", "text/javascript"],
      ["ort/ort-wasm-simd-threaded.wasm", "application/wasm"],
      ["models/locator.onnx", "application/octet-stream"],
    ]) {
      const answer = await fetch(url + path);
      expect(answer.headers.get("content-type")).toContain(type);
      const bytes = Buffer.from(await answer.arrayBuffer());
      expect(bytes.equals(readFileSync(join(out, path || "index.html")))).toBe(true);
    }
    expect((await fetch(`${url}%2e%2e/site/serve.mjs`)).status).toBe(404);
    expect((await fetch(`${url}nothing`)).status).toBe(404);
  } finally {
    server.kill();
  }

  const again = await runLine(line, commands);
  expect(again.status).toBe(1);
  expect(again.stderr).toContain("the folder is not empty");
});
