# shellcheck shell=bash disable=SC2034
# Names and checks that the commands share; sourced, not run.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=inside/wait.sh
. "$here/inside/wait.sh"

name=${VERIFIER_CLUSTER:-verifier}
if ! [[ $name =~ ^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$ ]]; then
  echo "VERIFIER_CLUSTER is no name (a-z, 0-9 and dashes, at most 32): $name" >&2
  exit 2
fi
if [ "$(id -u)" != 0 ]; then
  echo "the cluster needs root, for namespaces, cgroups and containerd" >&2
  exit 2
fi

# One place per machine, not per user: the same name is the same cluster, whoever asks.
state=/var/lib/verifier-cluster/$name
cgroup=verifier-cluster-$name
ingress=http://127.0.0.1:8000

# Prints the process id of the cluster's first process while it lives. Its start time tells it from a later process with the same id.
leader() {
  local pid started now
  read -r pid started 2> /dev/null < "$state/leader" || return 1
  now=$(awk '{sub(/.*\) /, ""); if ($1 != "Z") print $20}' "/proc/$pid/stat" 2> /dev/null) || return 1
  [ "$started" = "$now" ] && echo "$pid"
}

# One command at a time for each name. A program that outlives the command must not inherit the lock: start it with 9>&-.
lock() {
  mkdir -p "${state%/*}"
  exec 9> "$state.lock"
  flock --wait "$1" 9 || { echo "another command is at work on the cluster $name" >&2; exit 1; }
}

# Ends the cluster and removes its traces, except the logs. Right for a cluster that is up, half up, crashed or absent.
# The kernel does the work: with the first process go all others in its process namespace, and with them their mounts and networks.
stop_cluster() {
  local pid
  if pid=$(leader); then
    kill -KILL "$pid"
    until_true 30 "process $pid to end" ended || return 1
  fi
  until_true 10 "empty cgroups" remove_cgroups || return 1
  if [ -d "$state" ]; then find "$state" -mindepth 1 -maxdepth 1 ! -name log -exec rm -rf --one-file-system {} +; fi
}
ended() { ! leader; }

# cgroup v1 has a folder per controller, v2 a single one; a cgroup is removed before its parent.
remove_cgroups() {
  local top
  for top in /sys/fs/cgroup/"$cgroup" /sys/fs/cgroup/*/"$cgroup"; do
    if [ -d "$top" ]; then find "$top" -depth -type d -exec rmdir {} +; fi
  done
}
