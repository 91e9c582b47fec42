/** `edgefit devices`: which device profiles there are, what they say, and a profile of the device at hand. */
import { join } from "node:path";
import type { Argv } from "yargs";
import type { DeviceProfile } from "../../device-profiles/index.js";
import type { DeviceState } from "../../runners/hub/registry.js";
import { EdgefitError, UsageError } from "../graph/errors.js";
import { checkOutputFolder, writeFitOutput } from "../report/index.js";
import type { Colors } from "./colors.js";
import type { Command, Context, FlagsOf } from "./command.js";
import { commonOptions, deviceFlags, deviceOptions, examples, given } from "./flags.js";
import { facts, table } from "./tables.js";

const actions = ["list", "show", "validate", "diff", "export", "import"] as const;

const declare = (y: Argv) =>
  examples(
    deviceFlags(
      y
        .positional("action", { choices: actions, default: "list" as const, describe: "what to do" })
        .positional("names", { type: "string", array: true, describe: "ids of profiles, or paths of JSON files" }),
    )
      .option("model", {
        type: "string",
        requiresArg: true,
        group: "Export:",
        describe: "measure this model's table too; for import, the model that was measured",
      })
      .option("from", {
        type: "string",
        requiresArg: true,
        group: "Export:",
        describe: "import: ONNX Runtime's profile (JSON), or the CSV of TFLite's benchmark_model",
      })
      .option("cpu", {
        type: "string",
        requiresArg: true,
        group: "Export:",
        describe: "import: the processor, for people",
      })
      .option("out", {
        type: "string",
        default: "out",
        requiresArg: true,
        group: "Export:",
        describe: "output folder",
      }),
    ["devices", "what has joined the hub, the profiles that come with edgefit, and which of them this machine is"],
    ["devices show raspberry-pi-5", "all that a profile says"],
    ["devices validate mine.json", "exit status 1, and the first wrong field, where it is none"],
    ["devices diff raspberry-pi-4 raspberry-pi-5", "the fields that differ"],
    ["devices export my-box --device wasm --model model.onnx", "a profile of this machine, with a measured table"],
    ["devices import pi --model model.onnx --from onnxruntime_profile.json", "a table of what another tool measured"],
  );

type Flags = FlagsOf<typeof declare>;

export const devices: Command<Flags> = {
  command: "devices [action] [names..]",
  describe: "Show, check, compare and make device profiles",
  builder: declare,
  async run(flags, context) {
    const { terminal } = context;
    const names = flags.names ?? [];
    const profiles = await import("../../device-profiles/index.js");
    switch (flags.action) {
      case "list": {
        expectNames("list", names, 0);
        const { listDevices, listJoinedDevices } = await import("../devices.js");
        const [entries, joined] = [await listDevices(), await listJoinedDevices()];
        const rows = entries.map((e) => [e.id, e.kind, e.notHere === null ? "yes" : `no: ${e.notHere}`, e.title]);
        terminal.result(
          (c) =>
            `${joinedText(joined, c)}\n\n${table(["profile", "kind", "this machine", "device"], rows, c, ["left"])}`,
          { profiles: entries, joined: joined ?? null },
        );
        return;
      }
      case "show": {
        const [name] = expectNames("show", names, 1);
        const p = profiles.loadProfile(name);
        const { otherVersion } = await import("../savedDevice.js");
        const version = otherVersion(p.runtime);
        if (version) terminal.warn(version);
        terminal.result((c) => description(p, c), p);
        return;
      }
      case "validate": {
        const [name] = expectNames("validate", names, 1);
        const p = profiles.loadProfile(name);
        const { checkSavedTable, otherVersion } = await import("../savedDevice.js");
        const table = await checkSavedTable(name);
        const version = otherVersion(p.runtime);
        if (version) terminal.warn(version);
        terminal.result(
          () =>
            `${name} is a valid device profile: ${p.id}${table ? `, with a table of ${table.rows.length} rows` : ""}`,
          { valid: true, id: p.id, rows: table?.rows.length ?? null },
        );
        return;
      }
      case "diff": {
        const [a, b] = expectNames("diff", names, 2).map(profiles.loadProfile);
        const { diffProfiles } = await import("../devices.js");
        const differences = diffProfiles(a, b);
        const rows = differences.map((d) => [d.field, text(d.a), text(d.b)]);
        terminal.result(
          (c) => (rows.length ? table(["field", a.id, b.id], rows, c, ["left"]) : "the profiles say the same"),
          differences,
        );
        return;
      }
      case "export":
        await exportTo(flags, expectNames("export", names, 1)[0], context);
        return;
      case "import":
        await importFrom(flags, expectNames("import", names, 1)[0], context);
    }
  },
};

function joinedText(joined: readonly DeviceState[] | undefined, c: Colors): string {
  if (joined === undefined) return " No hub is running: edgefit hub lets phones and boards join.";
  if (joined.length === 0) return " A hub is running, and no device has joined it yet.";
  const rows = joined.map(({ name, facts: f, page, busy, beat }) => [
    name,
    f.hardware.cpu,
    `${f.runtime.package} ${f.runtime.version}`,
    `${f.runtime.threads} of ${f.hardware.cores}${page && !page.isolated ? ", not isolated" : ""}`,
    page?.adapter ? `${page.adapter.vendor} ${page.adapter.architecture}`.trim() || "yes" : "none",
    busy === null ? "free" : `${busy}${beat?.done ? `, ${Math.round(100 * beat.done)} %` : ""}`,
  ]);
  return table(["joined", "device", "runtime", "threads", "WebGPU", "state"], rows, c, ["left"]);
}

async function checkId(id: string): Promise<void> {
  const { profileIdSchema } = await import("../../device-profiles/index.js");
  const checked = profileIdSchema.safeParse(id);
  if (!checked.success)
    throw new EdgefitError("profile-id", `"${id}" is no name for a profile`, { hint: checked.error.issues[0].message });
}

async function importFrom(flags: Flags, id: string, context: Context): Promise<void> {
  await checkId(id);
  const { model, from, cpu, out } = flags;
  if (model === undefined || from === undefined) {
    throw new UsageError("missing-flag", `${model === undefined ? "--model" : "--from"} must be given`, {
      hint: "examples: edgefit devices --help",
    });
  }
  await checkOutputFolder(out);
  const { importMeasurements } = await import("../importMeasurements.js");
  const table = await importMeasurements({ id, model, from, ...given({ cpu }), onWarning: context.terminal.warn });
  const name = `${id}.table.json`;
  await writeFitOutput(out, [{ name, bytes: `${JSON.stringify(table)}\n` }], context.signal);
  const path = join(out, name);
  const [precision] = Object.keys(table.corrections);
  context.terminal.result(
    (c) =>
      facts(
        [
          ["device", `${id}, ${table.device.cpu}, ${table.runtime.package} (${table.runtime.provider})`],
          ["table", `${table.rows.length} rows, ${precision}, at the model's own widths`],
          ["written", path],
        ],
        c,
      ),
    { table, files: [path] },
  );
}

async function exportTo(flags: Flags, id: string, context: Context): Promise<void> {
  const { parseProfile } = await import("../../device-profiles/index.js");
  await checkId(id);
  await checkOutputFolder(flags.out);
  const { exportDevice } = await import("../devices.js");
  const exported = await exportDevice({
    id,
    ...given({
      model: flags.model,
      ...deviceOptions(flags),
    }),
    ...commonOptions(context),
  });
  const profile = parseProfile(exported.profile, "the new profile");
  const file = (name: string, value: unknown) => ({ name, bytes: `${JSON.stringify(value, null, 2)}\n` });
  const files = [file(`${id}.json`, profile), ...(exported.table ? [file(`${id}.table.json`, exported.table)] : [])];
  await writeFitOutput(flags.out, files, context.signal);
  const paths = files.map((f) => join(flags.out, f.name));
  context.terminal.result(
    (c) =>
      `${description(profile, c)}\n${facts(
        paths.map((p, i) => [i === 0 ? "written" : "", p] as const),
        c,
      )}`,
    { profile, files: paths },
  );
}

function expectNames(action: (typeof actions)[number], names: readonly string[], count: number): string[] {
  if (names.length === count) return [...names];
  const wanted = ["no name", "one name", "two names"][count];
  throw new EdgefitError("arguments", `devices ${action} takes ${wanted}, not ${names.length}`, {
    hint: "examples: edgefit devices --help",
  });
}

const text = (value: unknown): string =>
  value === undefined || value === null ? "any" : Array.isArray(value) ? value.join(" ") || "none" : String(value);

function description(p: DeviceProfile, c: Colors): string {
  const { hardware, os, runtime, conditions, measured } = p;
  return [
    c.bold(`${p.id}: ${p.title}`),
    facts(
      [
        ["reached through", p.kind],
        ["processor", `${text(hardware.cpu)}, ${text(hardware.cores)} cores, needs ${text(hardware.isa)}`],
        ["system", `${text(os.platform)} ${text(os.arch)}`],
        [
          "runtime",
          `${runtime.package} ${text(runtime.version)}, ${runtime.provider}, ${runtime.threads} thread(s), level ${runtime.graphOptimizationLevel}`,
        ],
        [
          "conditions",
          [conditions.governor && `governor ${conditions.governor}`, conditions.notes].filter(Boolean).join("; ") ||
            "any",
        ],
        ["alignment", `widths in multiples of ${p.channelAlignment}`],
        [
          "measured",
          measured
            ? `${measured.date} on ${measured.machine}${measured.table ? `, ${measured.table}` : ""}`
            : "nothing",
        ],
        ...p.notes.map((n, i) => [i === 0 ? "notes" : "", n] as const),
      ],
      c,
    ),
  ].join("\n");
}
