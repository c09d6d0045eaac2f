"""Elements: what is text stays text."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.reporting.html.markup import Markup, element, escaped, joined


class Read(HTMLParser):
    """The text and the attributes that a browser sees."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"])), st.text(alphabet="<>&\"'/=a "))
def test_any_text_is_read_back_as_it_was(text, attribute):
    read = Read(element("p", text, title=attribute))
    assert read.text == text
    assert read.tags == [("p", {"title": attribute})]


def test_control_characters_and_lone_surrogates_are_replaced_and_line_breaks_stay():
    assert escaped("a\x00\x1b\ud800\n\tb") == "a\ufffd\ufffd\ufffd\n\tb"


def test_markup_is_not_escaped_again_and_nothing_is_left_out():
    assert element("p", None, ["a", [Markup("<b>"), "<"]]) == "<p>a<b>&lt;</p>"
    assert joined("&", Markup("&")) == "&amp;&"


def test_attributes_are_named_as_in_html():
    made = element("td", class_="a", data_value="", hidden=True, id=None, open=False, x=1.25, y=2.0)
    assert made == '<td class="a" data-value="" hidden x="1.2" y="2"></td>'
    assert element("img", src="#") == '<img src="#">'
