"""What tests have of their own: a state directory instead of the user's, and the names of replies heard so far."""

from collections.abc import Iterator

import pytest

from unerring.core.identities import Identities
from unerring.runtime import limits


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """XDG_STATE_HOME is a temporary directory, for all processes that the tests start as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Each test knows no reply that another test received."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "_HEARD", Identities())
        yield
