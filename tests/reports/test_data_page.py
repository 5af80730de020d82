from ccf_llm.data.dataset import Dataset
from ccf_llm.data.examine import examine
from ccf_llm.reports.data_page import render_data
from html_reader import Reader


def test_the_page_holds_the_figures_and_no_markup_of_the_data(tiny_data: Dataset) -> None:
    found = examine(tiny_data) | {"name": "<b>tiny</b>"}
    page = Reader(render_data(found))
    page.check_self_contained()
    assert "b" not in {tag for tag, _ in page.tags}
    assert f"Take the {found['task']['fits']} task." in page.text
    for line in found["warnings"]:
        assert line in page.text
    for part in ("valid", "test"):
        assert f"{found['measured'][part]['users_behind']['UAUC']}" in page.text
    labels = [attributes["aria-label"] for tag, attributes in page.tags if tag == "figure"]
    assert len(labels) == 3
    assert labels[0] is not None
    assert "number of users: " in labels[0]
