from tests.datasets_scripts.conftest import toy

__all__ = ["toy"]
