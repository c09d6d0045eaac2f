"""The pages that are made from the code, listed in PAGES. To add one, write a function and add a line here."""

from collections.abc import Callable

from docs.build import files, measures, models, program, records

PAGES: dict[str, Callable[[], str]] = {
    "reference/methods.md": models.methods_page,
    "reference/mappings.md": models.mappings_page,
    "reference/networks.md": models.networks_page,
    "reference/likelihoods.md": models.likelihoods_page,
    "reference/data-sets.md": measures.data_sets_page,
    "reference/metrics.md": measures.metrics_page,
    "reference/evaluations.md": measures.evaluations_page,
    "reference/figures.md": measures.figures_page,
    "reference/spec.md": records.spec_page,
    "reference/cluster-file.md": records.cluster_page,
    "reference/commands.md": program.commands_page,
    "reference/python.md": program.python_page,
    "reference/run-folder.md": files.run_folder_page,
    "reference/exit-codes.md": files.exit_codes_page,
}
"""Page, as a path in docs/ -> what writes it."""
