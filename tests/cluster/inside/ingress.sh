# shellcheck shell=bash
# Traefik, on the node itself, where pods reach it as well as commands, with its defaults: it learns of changes every two seconds at most; sourced by init.
kubectl apply --filename=config/ingress.yaml
# `Proxy` keeps kube-proxy from routing the address to the Service, which has no pods.
kubectl patch service traefik --namespace=traefik --subresource=status --patch='
  status: {loadBalancer: {ingress: [{ip: 10.88.0.1, ipMode: Proxy, ports: [{port: 8000, protocol: TCP}]}]}}'

KUBECONFIG=pki/traefik.conf start traefik traefik --entrypoints.web.address=:8000 \
  --providers.kubernetesingress=true --providers.kubernetesingress.ingressendpoint.publishedservice=traefik/traefik \
  --global.checknewversion=false --global.sendanonymoususage=false
