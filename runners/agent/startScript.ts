/** The program that starts a bundled agent: finds Node, and says so where there is none or an old one. POSIX sh. */
export const startScript = (nodeVersion: string): string => {
  const [major, minor] = nodeVersion.split(".").map(Number);
  return `#!/bin/sh
# Starts the edgefit agent. EDGEFIT_NODE names another Node than the one on the PATH.
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd) || exit 1
node=\${EDGEFIT_NODE:-node}
if ! found=$("$node" -p 'process.versions.node' 2>/dev/null); then
  echo "edgefit: Node was not found. Install Node ${nodeVersion} or newer, or name it with EDGEFIT_NODE." >&2
  exit 1
fi
major=\${found%%.*}
rest=\${found#*.}
minor=\${rest%%.*}
if [ "$major" -lt ${major} ] || { [ "$major" -eq ${major} ] && [ "$minor" -lt ${minor} ]; }; then
  echo "edgefit: Node $found is too old. Install Node ${nodeVersion} or newer." >&2
  exit 1
fi
exec "$node" "$here/agent.js" "$@"
`;
};
