"""The claims by one digest, their rules, the paper's arithmetic, and what data files may say."""

import hashlib
import json
import re
from collections import Counter

import pytest

from smallnet_core.claims import CLAIMS, GOALS, assemble, by_source, tables
from smallnet_core.claims.known_misses import KNOWN_MISSES, MEASURED, is_known
from smallnet_core.claims.load import load_claims, load_tables
from smallnet_core.claims.names import GOAL_SOURCES, NETWORK_NAMES
from smallnet_core.models import MODEL_NAMES
from smallnet_core.recipes.pruned import PRUNED_NAMES
from smallnet_core.records import Rule

# Of every field of every claim and goal, and of the known misses, all in order. Compute it anew
# only for a change that is meant, and say in the commit which claim it changes.
DIGEST = "07ba9246771c7d4d112d925cf545c35c00ab353e96eb18871f83f9aef77a9de9"

TABLE_1_ONLY = {"vit_h_14", "lanet", "densenet_bc_190"}


def test_no_claim_changes_unnoticed():
    claims = [
        {**vars(claim), "details": dict(claim.details), "resolution": float(claim.resolution)}
        for claim in (*CLAIMS.values(), *GOALS.values())
    ]
    text = json.dumps([claims, list(KNOWN_MISSES.items()), list(MEASURED.items())], sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest() == DIGEST


def test_every_claim_has_the_id_of_its_place_and_a_sentence_of_its_own():
    for claim_id, claim in (CLAIMS | GOALS).items():
        place, _, name = claim_id.partition("/")
        slug = re.sub(r"^(table|figure) ", r"\1", claim.source.lower()).replace(" ", "-")
        assert claim_id == claim.id and re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name), claim_id
        assert place == (slug if claim_id in CLAIMS else slug.partition("-")[0])
        assert re.fullmatch(r"[A-Z][^\n]+\.", claim.statement, re.I), claim_id
        assert not claim.remark or claim.remark.endswith("."), claim_id
        assert not re.search(r"  |[.]$|\n", claim.not_measured), claim_id
        assert (claim.rule is not Rule.ROUNDED) or claim.resolution > 0, claim_id
    said = Counter((claim.source, claim.statement) for claim in (CLAIMS | GOALS).values())
    assert [what for what, times in said.items() if times > 1] == []
    assert not CLAIMS.keys() & GOALS.keys()
    assert tuple(dict.fromkeys(claim.source for claim in GOALS.values())) == GOAL_SOURCES


def test_the_networks_of_claims_are_those_of_models():
    assert set(NETWORK_NAMES) - TABLE_1_ONLY == set(MODEL_NAMES)
    assert {claim.network for claim in (CLAIMS | GOALS).values()} - {None} == set(NETWORK_NAMES)


def test_claims_come_once_each_in_the_papers_order():
    late, early = CLAIMS["table7/l1_structured-1"], CLAIMS["abstract/vgg16_s-under_1m"]
    assert list(assemble([late], [early])) == [early.id, late.id]
    with pytest.raises(ValueError, match=late.id):
        assemble([late], [late])


def test_claims_and_goals_are_chosen_by_source_with_its_subsections_and_by_metric():
    inner = {"Section 3.2.1", "Section 3.2.2", "Section 3.2.3"}
    assert {claim.source for claim in by_source("Section 3")} == {"Section 3.1", *inner}
    chosen = by_source("Table 2", "Beyond the paper", metric="num_params")
    assert [claim.id for claim in chosen] == ["beyond/speednet-num_params"]
    with pytest.raises(ValueError, match="Table 7"):
        by_source("Table 8")


def test_what_claims_and_known_misses_name_is_there():
    claims = CLAIMS | GOALS
    named = {recipe for claim in claims.values() for recipe in claim.details.get("recipes", ())}
    assert named and named <= set(PRUNED_NAMES)
    for claim_id, reason in KNOWN_MISSES.items():
        assert claim_id in claims and reason == " ".join(reason.split()) != ""


def test_a_known_miss_is_known_up_to_a_few_images():
    """ResNet18's 94.13 is known to be missed at 89.46; 12 % would be another miss."""
    claim = CLAIMS["table2/resnet18-adabound"]
    assert all(is_known(claim, value) for value in (89.36, 89.46, 90.0))
    assert not any(is_known(claim, value) for value in (89.35, 12.0, 99.0))
    assert not is_known(CLAIMS["table2/resnet18-adam"], 89.46)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('num_params = "20.03M"', (20.03e6, Rule.ROUNDED, 1e4)),
        ('num_params = "= 15245130"', (15_245_130, Rule.EXACT, 0)),
        ('num_params = "< 1M"', (1e6, Rule.BELOW, 0)),
        ('multiply_adds = "1.8 x 10^9"', (1.8e9, Rule.ROUNDED, 1e8)),
        ('accuracy_percent = "99.50"', (99.5, Rule.AT_LEAST, 0.01)),
        ('accuracy_percent = "> 95"', (95, Rule.ABOVE, 0)),
        ('accuracy_percent = ">= 95"', (95, Rule.LIMIT, 0)),
        ('accuracy_percent = "10.00"\nrefuted_above = 20', (10, Rule.FAILS, 0.01)),
        ('accuracy_difference_points = "-4"', (-4, Rule.AT_LEAST, 1)),
        ('depth = "18"', (18, Rule.EXACT, 0)),
    ],
)
def test_the_printed_number_gives_value_rule_and_resolution(tmp_path, written, expected):
    path = tmp_path / "text.toml"
    path.write_text(f'["section-1/vgg19-adam-new"]\nsays = """\nSo\nit is."""\n{written}\n')
    [claim] = load_claims(str(path))
    assert (claim.paper_value, claim.rule, claim.resolution) == expected
    assert (claim.source, claim.network, claim.optimizer) == ("Section 1", "vgg19", "adam")
    assert claim.statement == "So it is."


CLAIM = '["section-1/vgg19"]\nsays = "So it is."\n'
COUNT = f'{CLAIM}num_params = "1M"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'{COUNT}remrk = "No."', "section-1/vgg19: unknown key remrk"),
        (COUNT.replace("section-1", "section-9"), "section-9/vgg19: unknown source 'section-9'"),
        (f'{CLAIM}num_params = "1 million"', "section-1/vgg19: '1 million' is not a number"),
        (f'{COUNT}depth = "19"', "section-1/vgg19: 2 metrics, expected one of"),
        (f'{COUNT}minuend = {{ network = "vgg91" }}', "section-1/vgg19: unknown network 'vgg91'"),
        ('["section-1/vgg19"]\ndepth = "19"', "section-1/vgg19: missing 1 required .* 'says'"),
        ("says", "Expected '='"),
    ],
)
def test_a_mistake_in_a_data_file_is_one_line_with_file_and_claim(tmp_path, text, said):
    path = tmp_path / "text.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"text\.toml: .*{said}") as caught:
        load_claims(str(path))
    assert "\n" not in str(caught.value)


TABLE = """
[table2]
dataset = "cifar10"
says = "{network} with {optimizer} reaches {value} %."
fails = "It does not learn."
printed = '''
Architecture  Optimizer  Test accuracy
ViT           SGDM       10
	ADAM	51.49
'''
remarks.vit-adam = "Indeed."
"""


def test_a_table_is_read_as_it_is_printed(tmp_path):
    path = tmp_path / "accuracy.toml"
    path.write_text(TABLE)
    chance, learns = load_tables(str(path), tables.accuracy)
    assert (chance.id, chance.rule, chance.refuted_above) == ("table2/vit-sgdm", Rule.FAILS, 20)
    assert (learns.id, learns.paper_value, learns.remark) == ("table2/vit-adam", 51.49, "Indeed.")
    assert learns.statement == "ViT with ADAM reaches 51.49 %."


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("ADAM", "ADAN", "table2: row 'ViT  ADAN  51.49': there is no 'ADAN'"),
        ("51.49", "51,49", "table2: row 'ViT  ADAM  51,49': could not convert .* '51,49'"),
        ("fails", "falls", "table2: row .* unexpected keyword argument 'falls'"),
        ("vit-adam", "vit-adan", "table2: remarks on vit-adan, which are not rows"),
    ],
)
def test_a_mistake_in_a_table_names_its_row(tmp_path, old, new, said):
    path = tmp_path / "accuracy.toml"
    path.write_text(TABLE.replace(old, new))
    with pytest.raises(ValueError, match=rf"accuracy\.toml: {said}"):
        load_tables(str(path), tables.accuracy)
