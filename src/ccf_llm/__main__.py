"""`python -m ccf_llm`, as launchers such as torchrun start it; the same as the command `ccf-llm`."""

from ccf_llm.cli import main

if __name__ == "__main__":
    main()
