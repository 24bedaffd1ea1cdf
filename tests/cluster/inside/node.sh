# shellcheck shell=bash
# The container runtime, the kubelet and kube-proxy; sourced by init.
# shellcheck disable=SC2154 # cgroup is init's argument

# The kubelet wants its root cgroup to exist, with every controller usable.
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
  echo "+cpu +cpuset +memory +pids" > /sys/fs/cgroup/cgroup.subtree_control
  mkdir -p "/sys/fs/cgroup/$cgroup"
else
  for controller in /sys/fs/cgroup/*/; do
    if [ -f "$controller/cgroup.procs" ]; then mkdir -p "$controller/$cgroup"; fi
  done
  # A new cpuset is empty, and no process may enter it.
  for file in cpuset.cpus cpuset.mems; do cat "/sys/fs/cgroup/cpuset/$file" > "/sys/fs/cgroup/cpuset/$cgroup/$file"; done
fi

start containerd containerd --config=config/containerd.toml --log-level=warn
until_true 30 "containerd" ctr version
ctr --namespace=k8s.io images import pause.tar

start kubelet kubelet --config=config/kubelet.yaml --kubeconfig=pki/kubelet.conf --node-ip=10.88.0.1 --cgroup-root="/$cgroup"
start kube-proxy kube-proxy --config=config/proxy.yaml
