# shellcheck shell=bash
# etcd, the API server, the controllers and the scheduler; sourced by init.

# The state lives as long as the processes: no write need reach the disk.
start etcd etcd --data-dir=/var/lib/etcd --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
  --listen-peer-urls=http://127.0.0.1:2380 --unsafe-no-fsync --log-level=warn

# MutatingAdmissionPolicy is beta in 1.34: served and enforced only when asked for.
start kube-apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 --advertise-address=10.88.0.1 --secure-port=6443 \
  --service-cluster-ip-range=10.96.0.0/16 --allow-privileged=true \
  --tls-cert-file=pki/apiserver.crt --tls-private-key-file=pki/apiserver.key --client-ca-file=pki/ca.crt \
  --kubelet-client-certificate=pki/apiserver-kubelet-client.crt --kubelet-client-key=pki/apiserver-kubelet-client.key \
  --kubelet-preferred-address-types=InternalIP \
  --service-account-issuer=https://kubernetes.default.svc.cluster.local \
  --service-account-key-file=pki/sa.pub --service-account-signing-key-file=pki/sa.key \
  --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
  --feature-gates=MutatingAdmissionPolicy=true --runtime-config=admissionregistration.k8s.io/v1beta1=true \
  --audit-policy-file=config/audit.yaml --audit-log-path=log/audit.json --audit-log-maxsize=100 --audit-log-maxbackup=2 \
  --event-ttl=15m --profiling=false
until_true 90 "the API server" kubectl get --raw /readyz

start kube-controller-manager kube-controller-manager --kubeconfig=pki/controller-manager.conf --use-service-account-credentials \
  --service-account-private-key-file=pki/sa.key --root-ca-file=pki/ca.crt \
  --allocate-node-cidrs --cluster-cidr=10.244.0.0/16 --leader-elect=false --profiling=false
start kube-scheduler kube-scheduler --kubeconfig=pki/scheduler.conf --leader-elect=false --profiling=false
