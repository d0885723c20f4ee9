"""Licence identifiers that the Hub knows."""

import difflib

# https://huggingface.co/docs/hub/repositories-licenses, without those of single models and without "unknown".
LICENSES = frozenset(
    """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigcode-openrail-m openrail++ afl-3.0
    artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0
    cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0
    cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl
    gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 ncsa odc-by odbl ofl-1.1 osl-3.0 pddl
    postgresql unlicense zlib other
    """.split()  # noqa: SIM905 - a list has one a line
)


def check_license(name: str) -> None:
    """Refuse what is no licence identifier of the Hub.

    Raises:
        ValueError: `name` is not in `LICENSES`.
    """
    if name in LICENSES:
        return
    near = difflib.get_close_matches(name.lower(), LICENSES, n=1)
    hint = f"did you mean {near[0]}?" if near else "e.g. apache-2.0, mit, cc-by-4.0, or other"
    raise ValueError(f"--license must be a licence identifier of the Hub, got {name!r}; {hint}")
