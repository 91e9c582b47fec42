/**
 * Makes a fresh clone ready: checks Node, installs what the lock file names, and compiles.
 * Runs before `npm start` and `npm test` and after every install; does nothing that is already done. No dependencies.
 * `--after-install` only compiles; `--clean` compiles from nothing.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const at = (path) => join(root, path);
const readJson = (path) => JSON.parse(readFileSync(at(path), "utf8"));
const manifest = readJson("package.json");
const afterInstall = process.argv[2] === "--after-install";

function stop(message) {
  process.stderr.write(`edgefit: setup: ${message}\n`);
  process.exit(1);
}

function checkNode() {
  const wanted = manifest.engines.node
    .replace(/[^\d.]/g, "")
    .split(".")
    .map(Number);
  const found = process.versions.node.split(".").map(Number);
  const difference = wanted.map((w, i) => found[i] - w).find((d) => d !== 0) ?? 0;
  if (difference < 0) {
    stop(`Node ${process.versions.node} is too old. Install Node ${wanted.join(".")} or newer (https://nodejs.org).`);
  }
}

/** Whether node_modules holds exactly what the lock file asks for; packages for other platforms do not count. */
function isInstalled() {
  if (!existsSync(at("node_modules/.package-lock.json"))) return false;
  const installed = readJson("node_modules/.package-lock.json").packages;
  return Object.entries(readJson("package-lock.json").packages).every(
    ([path, { version, optional, devOptional }]) =>
      path === "" || optional || devOptional || installed[path]?.version === version,
  );
}

function run(what, command, args, env = process.env, otherwise = stop) {
  const { status, error, signal } = spawnSync(command, args, { cwd: root, env, stdio: ["ignore", 2, 2] });
  if (error) stop(`${what} could not be started: ${error.message}.`);
  if (signal) stop(`${what} was ended by ${signal}.`);
  if (status !== 0) otherwise(`${what} failed, see the lines above.`);
}

function install() {
  process.stderr.write("edgefit: installing dependencies (once)\n");
  // onnxruntime-node would download CUDA binaries on linux/x64, which edgefit never loads.
  const env = {
    ...process.env,
    ONNXRUNTIME_NODE_INSTALL: "skip",
    ONNXRUNTIME_NODE_INSTALL_CUDA: "skip",
    EDGEFIT_SETUP: "1",
  };
  const npm = process.env.npm_execpath;
  const args = ["ci", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"];
  if (npm?.endsWith(".js")) run("npm ci", process.execPath, [npm, ...args], env);
  else run("npm ci", process.platform === "win32" ? "npm.cmd" : "npm", args, env);
}

function build() {
  const compiler = "node_modules/typescript/package.json";
  if (!existsSync(at(compiler))) return; // installed without development dependencies: dist/ came with the package
  const tsc = join("node_modules/typescript", readJson(compiler).bin.tsc);
  // An install must not fail because the sources are in the middle of an edit; start, test and pack must.
  const otherwise = afterInstall ? (message) => process.stderr.write(`edgefit: setup: ${message}\n`) : stop;
  run("the TypeScript compiler", process.execPath, [tsc, "-p", "tsconfig.build.json"], process.env, otherwise);
}

/** The compiler writes plain files; `npx edgefit` needs an executable one. */
function makeExecutable() {
  const program = at(manifest.bin.edgefit);
  if (existsSync(program)) chmodSync(program, 0o755);
}

checkNode();
// `npm ci`, started here, runs this file once more as its `prepare` script: that inner call has nothing to do.
if (process.env.EDGEFIT_SETUP !== "1") {
  if (!afterInstall && !isInstalled()) install();
  if (process.argv[2] === "--clean") rmSync(at("dist"), { recursive: true, force: true });
  build();
  makeExecutable();
}
