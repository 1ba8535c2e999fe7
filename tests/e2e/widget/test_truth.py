"""The page says what is so: in every state that the API can answer, and in every frame."""

from collections.abc import Callable
from itertools import zip_longest

import msgspec
import pytest
from playwright.sync_api import Page, expect
from tests.e2e.widget.conftest import ON_A_PHONE, Line, Tab, redirect_url
from tests.e2e.widget.driving import card, heading, identify, pay, tab_call
from tests.support.widget_states import Answerable, answerable
from tests.support.widget_truth import claims, record, require_truth
from tests.support.widgets import WidgetPartner, WidgetServer

from proof.ramp.providers.outcomes import Name
from proof.ramp.types import TransactionType

# What each state is headed by. A state that is not here fails the test.
HEADINGS = {
    ("buy", "kyc", "not_started"): "Confirm your identity",
    ("sell", "kyc", "not_started"): "Confirm your identity",
    ("buy", "kyc", "pending"): "Checking your identity",
    ("sell", "kyc", "pending"): "Checking your identity",
    ("buy", "pay"): "Payment",
    ("buy", "challenge"): "Confirm with your bank",
    ("buy", "processing"): "Your coins are on their way",
    ("buy", "review"): "The delivery is delayed",
    ("sell", "deposit", "offer"): "Get ready to send",
    ("sell", "deposit", "shown"): "Send \u2068100\u00a0USDT\u2069",
    ("sell", "processing"): "Your money is on its way",
    ("buy", "completed"): "Payment complete",
    ("buy", "cancelled"): "Payment cancelled",
    ("buy", "failed"): "Payment failed",
    ("buy", "failed", "identity"): "Identity not confirmed",
    ("buy", "failed", "paid"): "Delivery failed",
    ("sell", "completed"): "Sale complete",
    ("sell", "cancelled"): "Sale cancelled",
    ("sell", "failed"): "Sale failed",
    ("sell", "failed", "identity"): "Identity not confirmed",
    ("sell", "failed", "paid"): "Payout failed",
}


def heading_of(item: Answerable) -> str:
    state = item.state
    if state.end is not None:
        why = ""
        if state.end == "failed":
            reason = state.failure_reason
            refused = reason == "identity_refused" if reason else state.kyc == "failed"
            why = "paid" if item.facts.paid else "identity" if refused else ""
        return HEADINGS[(state.type, str(state.end), why)[: 3 if why else 2]]
    if state.step == "kyc":
        return HEADINGS[state.type, "kyc", str(state.kyc)]
    if state.step == "deposit":
        return HEADINGS[state.type, "deposit", "shown" if state.deposit else "offer"]
    return HEADINGS[state.type, str(state.step)]


# Every other call passes to the server. Routing them all through Playwright would leave nothing in the
# browser's cache, for hundreds of loads of the page.
TOLD = """(() => {
  const fetched = window.fetch;
  window.fetch = async (address, values) => {
    const told = sessionStorage.getItem("told");
    if (told && String(address).endsWith("/w/api/state")) return new Response(told);
    return fetched(address, values);
  };
})()"""


# The page's script run once more, in a page that asks nothing any more: it starts as after a load, at a
# fifth of the price. What is drawn and recorded by then is gone.
STARTED_ANEW = """() => {
  document.getElementById("widget").replaceChildren();
  proofFrames.length = 0;
  const { src } = document.querySelector("script[type=module]");
  const script = document.createElement("script");
  document.head.append(Object.assign(script, { type: "module", src: `${src}?${performance.now()}` }));
}"""


def test_every_state_that_can_be_answered_is_drawn_as_it_is(
    tab: Tab, server: WidgetServer, partner: WidgetPartner
) -> None:
    """What goes on is drawn by a page that starts, and ends after it, as the page's next look finds them;
    the ends that are left, by pages that start. Each heading is drawn after a real load too."""
    answers = answerable()
    assert len(answers) > 110
    # No policy forbids this page the script that a test adds.
    page = tab(**ON_A_PHONE, bypass_csp=True)
    page.add_init_script(TOLD)
    record(page)
    page.goto(redirect_url(server, partner.open()))
    heading(page, "Payment")
    loaded: set[str] = set()
    drawn = 0

    def require(name: str) -> None:
        nonlocal drawn
        item = answers[name]
        expect(page.get_by_role("heading", level=1)).to_have_text(heading_of(item))
        text = page.locator("#widget").inner_text()
        assert item.facts.required <= claims(text) <= item.facts.allowed, (name, text)
        require_truth(page)
        drawn += 1

    for kind in TransactionType:
        going_on, over = _split(kind, answers)
        for first, then in zip_longest(going_on, over):
            start = first or then
            title = heading_of(answers[start])
            _tell(page, answers[start])
            if title in loaded:
                page.evaluate(STARTED_ANEW)
            else:
                page.reload()
                loaded.add(title)
            require(start)
            if first:
                _tell(page, answers[then])
                page.evaluate("dispatchEvent(new Event('online'))")
                require(then)
    assert drawn == len(answers)
    page.close()


def _split(kind: TransactionType, answers: dict[str, Answerable]) -> tuple[list[str], list[str]]:
    """The names of those of a kind that go on, and of the more that are over."""
    names = [name for name, item in answers.items() if item.state.type == kind]
    over = [name for name in names if answers[name].state.status == answers[name].state.end]
    going_on = [name for name in names if name not in over]
    assert len(going_on) <= len(over)
    return going_on, over


def _tell(page: Page, item: Answerable) -> None:
    told = msgspec.json.encode(item.state).decode()
    page.evaluate("told => sessionStorage.setItem('told', told)", told)


def test_every_state_is_drawn_as_it_is_after_any_that_goes_on(
    tab: Tab, server: WidgetServer, partner: WidgetPartner
) -> None:
    answers = list(answerable().values())
    going_on = [answer for answer in answers if answer.state.status != answer.state.end]
    page = tab(**ON_A_PHONE)
    page.add_init_script(TOLD)
    record(page)
    page.goto(redirect_url(server, partner.open()))
    heading(page, "Payment")
    for item in (*going_on, *reversed(going_on), answers[0]):
        _tell(page, item)
        page.evaluate("dispatchEvent(new Event('online'))")
        expect(page.get_by_role("heading", level=1)).to_have_text(heading_of(item))
    require_truth(page)
    page.close()


@pytest.mark.parametrize(
    ("step", "late"),
    [
        *[(step, late) for step in ("identity", "payment", "offer") for late in (False, True)],
        # A declined attempt is of an outcome whose callbacks are in time, and so is a wait for coins.
        ("declined", False),
        ("deposit", False),
    ],
)
def test_who_cancels_never_sees_that_anything_was_paid(
    page: Page, server: WidgetServer, partner: WidgetPartner, step: str, late: bool
) -> None:
    """Frame by frame, whether the provider's callback comes at once or ten minutes later."""
    tag = f"+{Name.CALLBACK_LATE if late else Name.DEPOSIT_NEVER_ARRIVES}"
    selling = step in {"offer", "deposit"}
    record(page)
    answer = partner.open(
        verified=step != "identity",
        type="sell" if selling else "buy",
        user_email=f"user{tag}@acme.example",
    )
    page.goto(redirect_url(server, answer))
    _BEFORE[step](page)
    page.get_by_role("button", name="Cancel sale" if selling else "Cancel payment").click()
    page.get_by_role("button", name="Yes, cancel").click()
    title = "Sale cancelled" if selling else "Payment cancelled"
    expect(page.get_by_role("heading", name=title, level=1)).to_be_visible()
    assert partner.transaction(answer)["status"] in {"pending", "cancelled"}
    partner.later(700)
    expect(page.locator(".details")).to_contain_text("Time")
    made = set().union(*require_truth(page))
    assert "cancelled" in made
    assert not made & {"paid", "complete", "failed", "delayed"}
    assert partner.transaction(answer)["status"] == "cancelled"


def _declined(page: Page) -> None:
    expect(page.get_by_role("heading", name="Payment", level=1)).to_be_visible()
    tab_call(page, "pay", attempt_id=_ATTEMPT, method="card", outcome="declined")
    expect(page.get_by_text("The payment was declined")).to_be_visible()


def _shown(page: Page) -> None:
    page.get_by_role("button", name="Show deposit address").click()
    expect(page.get_by_role("timer")).to_be_visible()


_ATTEMPT = "7d0a9c60-58b4-4b0e-9d0a-2a51f3d05b6c"
_BEFORE: dict[str, Callable[[Page], None]] = {
    "identity": lambda page: expect(
        page.get_by_role("heading", name="Confirm your identity")
    ).to_be_visible(),
    "payment": lambda page: expect(
        page.get_by_role("heading", name="Payment", level=1)
    ).to_be_visible(),
    "declined": _declined,
    "offer": lambda page: expect(
        page.get_by_role("button", name="Show deposit address")
    ).to_be_visible(),
    "deposit": _shown,
}


@pytest.mark.parametrize("kind", ["buy", "sell"])
def test_a_failed_identity_check_says_so_and_that_nothing_was_charged(
    page: Page, server: WidgetServer, partner: WidgetPartner, kind: str
) -> None:
    record(page)
    email = f"user+{Name.KYC_FAILED}@acme.example"
    answer = partner.open(verified=False, type=kind, user_email=email)
    page.goto(redirect_url(server, answer))
    identify(page)
    expect(page.get_by_role("heading", name="Checking your identity")).to_be_visible()
    partner.later(60)
    expect(page.get_by_role("heading", name="Identity not confirmed")).to_be_visible()
    expect(page.get_by_text("Nothing was charged")).to_be_visible()
    expect(page.get_by_role("button", name="Done")).to_be_visible()
    assert not set().union(*require_truth(page)) & {"paid", "complete", "cancelled"}


def test_what_was_paid_and_does_not_arrive_is_not_on_its_way(
    page: Page, server: WidgetServer, partner: WidgetPartner
) -> None:
    record(page)
    page.goto(redirect_url(server, partner.open()))
    card(page, Name.DELIVERY_FAILED)
    pay(page)
    expect(page.get_by_role("heading", name="Your coins are on their way")).to_be_visible()
    partner.later(60)
    expect(page.get_by_role("heading", name="The delivery is delayed")).to_be_visible()
    expect(page.get_by_text("You paid")).to_be_visible()
    assert not set().union(*require_truth(page)) & {"complete", "cancelled", "failed"}


def test_an_answer_that_is_held_back_is_not_drawn_after_a_newer_one(
    page: Page, server: WidgetServer, partner: WidgetPartner, line: Line
) -> None:
    record(page)
    page.goto(redirect_url(server, partner.open()))
    expect(page.get_by_role("heading", name="Payment", level=1)).to_be_visible()
    line.faults["cancel"] = ["unanswered", "doubled"]
    page.get_by_role("button", name="Cancel payment").click()
    page.get_by_role("button", name="Yes, cancel").click()
    expect(page.get_by_role("heading", name="Payment cancelled")).to_be_visible()
    assert not set().union(*require_truth(page)) & {"paid", "complete", "failed"}
