/** What a clone and a package promise: set-up from nothing, pinned dependencies, no host in the lock file. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

const root = join(import.meta.dirname, "..");
const json = (file: string) => JSON.parse(readFileSync(join(root, file), "utf8"));
const manifest = json("package.json");
const lock = json("package-lock.json");

describe("the package", () => {
  test("pins every dependency to one version, the one in the lock file", () => {
    const wanted: Record<string, string> = { ...manifest.dependencies, ...manifest.devDependencies };
    for (const [name, version] of Object.entries(wanted)) {
      expect(version, name).toMatch(/^\d+\.\d+\.\d+/);
      expect(lock.packages[`node_modules/${name}`]?.version, name).toBe(version);
    }
  });

  test("names no host in its lock file", () => {
    const hosts = Object.entries<{ resolved?: string }>(lock.packages).filter(([, p]) => p.resolved?.includes("://"));
    expect(hosts).toEqual([]);
  });
});

describe("set-up", () => {
  test("refuses a Node that is too old, saying which one to install", () => {
    const old = 'data:text/javascript,Object.defineProperty(process.versions, "node", { value: "20.18.3" })';
    const { status, stderr } = spawnSync(process.execPath, ["--import", old, join(root, "toolkit/cli/setup.mjs")], {
      encoding: "utf8",
    });
    expect(status).toBe(1);
    expect(stderr).toBe(
      `edgefit: setup: Node 20.18.3 is too old. Install Node ${manifest.engines.node.slice(2)} or newer (https://nodejs.org).\n`,
    );
  });
});
