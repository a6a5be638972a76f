"""Where steps run: in this process, in processes of their own, or each in a pod on Kubernetes."""
