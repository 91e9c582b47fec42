import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { BudgetError, ModelError } from "../../toolkit/graph/errors.js";
import { fakeCommand, runLine } from "./surroundings.js";

const folder = mkdtempSync(join(tmpdir(), "edgefit-cli-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const throwing = (e: unknown) =>
  fakeCommand(() => {
    throw e;
  });
const printing = fakeCommand((flags, { terminal }) => terminal.result(() => `cut ${flags.model}`, { flags }));

describe("results", () => {
  test("are text on stdout", async () => {
    expect(await runLine(["cut", "m.onnx"], [printing])).toEqual({ status: 0, stdout: "cut m.onnx\n", stderr: "" });
  });

  test("are one JSON value on stdout under --json, with remarks on stderr", async () => {
    const noisy = fakeCommand((_, { terminal }) => {
      terminal.note("looking");
      terminal.warn("careful");
      terminal.result(() => "text", { answer: 42 });
    });
    const { stdout, stderr } = await runLine(["cut", "m", "--json"], [noisy]);
    expect(JSON.parse(stdout)).toEqual({ answer: 42 });
    expect(stderr).toBe("looking\nwarning: careful\n");
    expect((await runLine(["cut", "m", "--quiet"], [noisy])).stderr).toBe("");
  });

  test("--verbose opens the runtime's own lines", async () => {
    const logging = fakeCommand((_, { terminal }) => terminal.log?.("from the runtime"));
    expect((await runLine(["cut", "m"], [logging])).stderr).toBe("");
    expect((await runLine(["cut", "m", "--verbose"], [logging])).stderr).toBe("from the runtime\n");
  });
});

describe("errors", () => {
  const broken = new ModelError("truncated", "the file ends too early", { where: "m.onnx", hint: "download it again" });

  test("are one sentence on stderr with place and remedy, exit status 1", async () => {
    expect(await runLine(["cut", "m.onnx"], [throwing(broken)])).toEqual({
      status: 1,
      stdout: "",
      stderr: "edgefit: m.onnx: the file ends too early. Download it again.\n",
    });
  });

  test("carry their fields under --json", async () => {
    const { status, stdout } = await runLine(["cut", "m.onnx", "--json"], [throwing(broken)]);
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toEqual({
      error: { code: "truncated", message: "the file ends too early", where: "m.onnx", hint: "download it again" },
    });
  });

  test("a missed budget is exit status 2 and names the fastest latency", async () => {
    const missed = new BudgetError("no net within 1 ms was found, the fastest takes 1.5 ms", { fastestMs: 1.5 });
    const { status, stdout, stderr } = await runLine(["cut", "m", "--json"], [throwing(missed)]);
    expect(status).toBe(2);
    expect(stderr).toBe("edgefit: no net within 1 ms was found, the fastest takes 1.5 ms.\n");
    expect(JSON.parse(stdout).error).toMatchObject({ code: "budget-missed", fastestMs: 1.5 });
  });

  test("are known by their fields, whatever class they have", async () => {
    const foreign = Object.assign(new Error("the device went away"), { code: "device-lost", exit: 1 });
    expect((await runLine(["cut", "m"], [throwing(foreign)])).stderr).toBe("edgefit: the device went away.\n");
  });

  test("of the file system are put in words", async () => {
    const e = Object.assign(new Error("EACCES: permission denied, open '/x/y'"), {
      code: "EACCES",
      syscall: "open",
      path: "/x/y",
    });
    expect((await runLine(["cut", "m"], [throwing(e)])).stderr).toBe("edgefit: /x/y: permission denied.\n");
  });

  test("show no stack, except under --verbose", async () => {
    const quiet = await runLine(["cut", "m"], [throwing(new TypeError("x is not a function"))]);
    expect(quiet.stderr).toMatch(/^edgefit: unexpected error: x is not a function\. This is a bug.*\n$/);
    const loud = await runLine(["cut", "m", "--verbose"], [throwing(new TypeError("x is not a function"))]);
    expect(loud.stderr).toMatch(/\n {4}at /);
  });

  test("after Ctrl-C are exit status 130", async () => {
    const controller = new AbortController();
    const stopped = fakeCommand((_, { signal }) => {
      controller.abort(new Error("interrupted"));
      signal.throwIfAborted();
    });
    const outcome = await runLine(["cut", "m"], [stopped], { signal: controller.signal });
    expect(outcome).toEqual({ status: 130, stdout: "", stderr: "edgefit: interrupted; nothing was written.\n" });
  });
});

describe("a wrong command line", () => {
  test.each([
    [[], "say what to do. See edgefit --help."],
    [["cot", "m"], 'there is no command "cot". Did you mean cut?'],
    [["xyzzy"], 'there is no command "xyzzy". See edgefit --help.'],
    [["cut"], "an argument is missing, the form is edgefit cut <model>. See edgefit cut --help."],
    [["cut", "m", "n"], "n: this argument is one too many. See edgefit cut --help."],
    [["cut", "m", "--frob"], "--frob: there is no such flag. See edgefit cut --help."],
    [["cut", "m", "--frob=3"], "--frob: there is no such flag. See edgefit cut --help."],
    [["cut", "m", "--budget"], "--budget: the flag needs a value. See edgefit cut --help."],
    [["cut", "m", "--budget", "1ms", "--budget", "2ms"], "--budget: the flag was given 2 times. Give it once."],
    [["cut", "m", "--level", "mid"], '--level: "mid" is not one of the choices. Choose low, high.'],
  ])("%j is explained", async (argv, text) => {
    const { status, stdout, stderr } = await runLine(argv, [printing]);
    expect({ status, stdout, stderr }).toEqual({ status: 1, stdout: "", stderr: `edgefit: ${text}\n` });
  });

  test("a flag that must be given is named", async () => {
    const strict = fakeCommand(
      () => {},
      (y) => y.option("out", { type: "string", demandOption: true }),
    );
    const { status, stderr } = await runLine(["cut", "m"], [strict]);
    expect([status, stderr]).toEqual([1, "edgefit: --out must be given. See edgefit cut --help.\n"]);
  });
});

describe("--config", () => {
  const config = (name: string, text: string) => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };

  test("gives flags, and the command line wins", async () => {
    const path = config("good.json", '{"budget": "8ms", "level": "low", "dim": ["N=1"], "json": true}');
    const { stdout } = await runLine(["cut", "m", "--config", path, "--level", "high"], [printing]);
    expect(JSON.parse(stdout).flags).toMatchObject({ budget: "8ms", level: "high", dim: ["N=1"] });
  });

  test.each([
    ["missing.json", null, "there is no such file"],
    ["text.json", "budget: 8ms", "cannot be read as JSON"],
    ["list.json", "[1]", "holds no JSON object"],
  ])("%s is refused", async (name, text, what) => {
    const path = text === null ? join(folder, name) : config(name, text);
    const { status, stderr } = await runLine(["cut", "m", "--config", path], [printing]);
    expect(status).toBe(1);
    expect(stderr).toContain(`edgefit: ${path}: `);
    expect(stderr).toContain(what);
  });

  test("an unknown name in it is refused", async () => {
    const { status, stderr } = await runLine(
      ["cut", "m", "--config", config("odd.json", '{"bugdet": "8ms"}')],
      [printing],
    );
    expect([status, stderr]).toEqual([1, expect.stringContaining("bugdet")]);
  });
});

describe("colours", () => {
  const red = throwing(new ModelError("x", "broken"));

  test.each([
    [{ tty: true }, true],
    [{ tty: false }, false],
    [{ tty: true, env: { NO_COLOR: "1" } }, false],
    [{ tty: true, env: { TERM: "dumb" } }, false],
    [{ tty: false, env: { FORCE_COLOR: "1" } }, true],
    [{ tty: false, env: { FORCE_COLOR: "1", NO_COLOR: "1" } }, false],
  ])("with %j: %s", async (o, coloured) => {
    expect((await runLine(["cut", "m"], [red], o)).stderr.includes("\u001b[")).toBe(coloured);
  });
});
