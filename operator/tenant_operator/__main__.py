"""`python -m tenant_operator` runs the operator in its pod; `python -m tenant_operator admission` the admission webhook."""

import sys

if __name__ == "__main__":
    if sys.argv[1:] == ["admission"]:
        # Late, each: the webhook's pods need neither kopf nor a whole Kubernetes client, and their memory.
        from tenant_operator.handlers.admission_main import main
    else:
        from tenant_operator.handlers.main import main
    main()
