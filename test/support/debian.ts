/** What tests need of the system: installed by the test run itself on Debian as root, and named for everyone else. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

const ok = (command: string, args: readonly string[]): boolean =>
  spawnSync(command, args, {
    stdio: "ignore",
    timeout: 300_000,
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  }).status === 0;

/** Whether packages can be installed: Debian or a descendant, as root. */
export const onDebianAsRoot = process.getuid?.() === 0 && existsSync("/usr/bin/apt-get");

/**
 * Sees that `present` holds, by installing packages where that is possible. Returns null when it does, and otherwise what to say
 * of a skipped test.
 */
export function needsPackages(packages: readonly string[], present: () => boolean): string | null {
  if (present()) return null;
  const command = ["apt-get", "install", "-y", "--no-install-recommends", ...packages];
  const byHand = `needs ${packages.join(" ")}: sudo ${command.join(" ")}`;
  if (!onDebianAsRoot) return byHand;
  // The lists may be old or missing; they are fetched only then.
  if (!ok(command[0], command.slice(1))) {
    ok("apt-get", ["update", "-qq"]);
    ok(command[0], command.slice(1));
  }
  return present() ? null : byHand;
}

/** Whether a program is on the PATH. */
export const hasProgram = (name: string): boolean =>
  (process.env.PATH ?? "").split(":").some((folder) => existsSync(`${folder}/${name}`));
