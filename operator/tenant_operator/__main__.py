"""`python -m tenant_operator` runs the operator in its pod."""

from tenant_operator.handlers.main import main

if __name__ == "__main__":
    main()
