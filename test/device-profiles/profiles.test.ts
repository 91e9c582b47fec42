import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import {
  deviceProfileJsonSchema,
  listProfiles,
  loadProfile,
  parseProfile,
  profilesFolder,
} from "../../device-profiles/index.js";

const folder = mkdtempSync(join(tmpdir(), "edgefit-profiles-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const profileError = (code: string, rest = {}) =>
  expect.objectContaining({ name: "ProfileError", code, exit: 1, ...rest });
const write = (name: string, text: string) => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

describe("shipped profiles", () => {
  test.each(["desktop-x64", "phone-wasm-simd", "raspberry-pi-5"])(
    "%s is valid, carries its own id and no time",
    (id) => {
      expect(listProfiles()).toContain(id);
      const profile = loadProfile(id);
      expect(profile.id).toBe(id);
      expect(profile.measured).toBeNull();
      expect(JSON.stringify(profile)).not.toMatch(/latency|Ms"/);
    },
  );

  test("every file of the folder loads", () => {
    for (const id of listProfiles()) expect(loadProfile(join(profilesFolder(), `${id}.json`))).toEqual(loadProfile(id));
  });
});

describe("loading", () => {
  test("a profile of one's own loads by path", () => {
    const own = { ...loadProfile("desktop-x64"), id: "my-box" };
    expect(loadProfile(write("own.json", JSON.stringify(own)))).toEqual(own);
  });

  test("an unknown id names the choices", () => {
    expect(() => loadProfile("toaster")).toThrow(
      profileError("profile-unknown", { hint: expect.stringContaining("arm32-wasm, desktop-x64") }),
    );
  });

  test("a missing file and text that is no JSON name the file", () => {
    const missing = join(folder, "missing.json");
    expect(() => loadProfile(missing)).toThrow(profileError("profile-unreadable", { where: missing }));
    const broken = write("broken.json", "{");
    expect(() => loadProfile(broken)).toThrow(profileError("profile-not-json", { where: broken }));
  });

  const good = () => structuredClone(loadProfile("desktop-x64")) as unknown as Record<string, Record<string, unknown>>;
  test.each<[string, (p: Record<string, Record<string, unknown>>) => void, RegExp]>([
    ["a later schema version", (p) => Object.assign(p, { schemaVersion: 2 }), /"schemaVersion"/],
    ["an unknown kind", (p) => Object.assign(p, { kind: "abacus" }), /"kind"/],
    ["no threads", (p) => Object.assign(p.runtime, { threads: 0 }), /"runtime.threads"/],
    ["an unknown field", (p) => Object.assign(p.hardware, { serial: "1" }), /"hardware".*serial/],
    ["an id with spaces", (p) => Object.assign(p, { id: "My Box" }), /"id".*lower-case/],
    [
      "emulated times",
      (p) => Object.assign(p, { emulated: true, measured: { table: "t.json", date: "2026-01-31", machine: "qemu" } }),
      /"measured.table".*emulated/,
    ],
  ])("refuses %s and names the field", (_, change, message) => {
    const profile = good();
    change(profile);
    expect(() => parseProfile(profile, "p.json")).toThrow(profileError("profile-invalid", { where: "p.json" }));
    expect(() => parseProfile(profile, "p.json")).toThrow(message);
  });
});

test("the JSON Schema names every field of a shipped profile", () => {
  const schema = deviceProfileJsonSchema() as {
    properties: Record<string, unknown>;
    required: string[];
    $schema: string;
  };
  expect(schema.$schema).toContain("2020-12");
  expect(Object.keys(schema.properties)).toEqual(expect.arrayContaining(Object.keys(loadProfile("raspberry-pi-5"))));
  expect(schema.required).toContain("measured");
});
