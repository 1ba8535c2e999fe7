"""A partner environment that the transactions belong to."""

from typing import Any

import pytest
from tests.conftest import Run
from tests.db.ramp.transactions.scene import Reconciliation
from tests.support.partners import issued, onboard

from proof.core.secrets import Vault
from proof.db import Database
from proof.partners.types import Environment, OnboardedPartner


@pytest.fixture
def partner(run: Run[Any], database: Database, vault: Vault) -> OnboardedPartner:
    made: OnboardedPartner = run(onboard(database, vault))
    return made


@pytest.fixture
def owner(partner: OnboardedPartner) -> int:
    """The production environment."""
    return issued(partner).partner_environment_id


@pytest.fixture
def sandbox(partner: OnboardedPartner) -> int:
    return issued(partner, Environment.SANDBOX).partner_environment_id


@pytest.fixture
def scene(run: Run[Any], database: Database, vault: Vault, sandbox: int) -> Reconciliation:
    return Reconciliation(run, database, vault, sandbox)
