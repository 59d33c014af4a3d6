"""Judges measurements: a claim and what was measured become a verdict.

This page specifies the rules: ``records.Rule`` names them, ``rules`` implements them, and
``tests/test_judging.py`` checks them.

**What is estimated.** All accuracies are shares of the test images that the paper used too. If a
claim is about these very images, they are not a sample and have no sampling error. What varies is
the seed: one training stands for a recipe. Its deviation is pooled from the run's seeds and an
assumed 0.3 points that weighs as much as eleven seeds; over n seeds the mean is known to
t * s / sqrt(n), with one seed to 0.67 points. That is the interval of a row (95 %).

===================  ======================================  ================================
claim                is about                                its uncertainty, and its rule
===================  ======================================  ================================
a count, a size      this code                               none: EXACT, ROUNDED, ABOVE, BELOW
a goal, ">= 95"      these networks on these images          none: LIMIT is met or not, by the
                                                             mean; so are "almost" and "loses
                                                             2 %", at the printed value
"reaches 94.13 %"    this recipe over seeds, against the     our seeds, and in quadrature the
                     paper's single run, on these images     paper's own one: AT_LEAST
a pruned network's   the same; the difference between a      our seed and the paper's, once
drop (Tables 6, 7)   network and its pruned self             each: AT_LEAST
a curve's            the same; between the ends that the     the paper's curve is known as well
proportion (Fig 17)  drops' intervals give                   as ours of one seed: AT_LEAST
a report's number    the same; seeds move one class as much  95 % for all 50 numbers of a
(Appendix D)         as another draw of its images would     report: AT_LEAST
"over 91 %"          this recipe over seeds, these images    our seeds: ABOVE, BELOW
"better than"        two recipes over seeds, on images like  both sides' seeds, and the images,
                     these                                   paired: ABOVE, BELOW
"does not learn"     the best of the recipes that are named  our seeds: FAILS
===================  ======================================  ================================

**Verdicts.** LIMIT and counts: *reproduced* or *missed*. AT_LEAST: *missed* if all of the
interval lies below what the printed value may have been before rounding, *exceeded* if all of it
lies above, else *reproduced*. A drop is never *exceeded* while the pruned network is less accurate
than the paper's: a network that starts lower has less to lose. ABOVE and BELOW: *reproduced* or
*missed* once the interval is on one side, else *undecided*. FAILS: *refuted* once the interval is
above ``refuted_above``, *reproduced* once it is not, else *undecided*.

More seeds are advised only where they could decide: they don't reduce the images' share of an
interval, and a curve is of one network.

**A network that hasn't learnt decides nothing.** A difference is *missed* if a network trained for
it is within twice chance. A claim of failure is *missed* if our record of the same recipes refutes
it and the network at hand doesn't: that network is broken. Of several recipes the best is judged;
if others are *not measured* and could change the verdict, so is the claim.

**Known misses** (``claims/known_misses.toml``) give the value that the zoo's weights reach. Such a
miss is expected up to ten test images below that; beyond, it counts as a new one.

**Examples.** One seed at 90.95 % against a printed 91.72: 0.67 for our seed and 0.67 for theirs
make 0.95; 91.90 is above 91.715, so it is *reproduced*. Against "over 91 %" only ours counts:
90.28 to 91.62, *undecided*. A goal of at most 1 point under the dense network is *missed* at -1.01.
Table 6 has 30.24 after a drop of 64.76 points: our drop of 62.78 ends at 26.68, *reproduced* and
not *exceeded*. A recall of 0.900 over 1,000 images is known to 0.019; against a printed 0.95 that
is 0.019 * 3.29 / 1.96 * sqrt(2) = 0.044, and it is *missed*.
"""

from smallnet_core.judging.intervals import difference_measurement, interval_95
from smallnet_core.judging.per_class import report_interval, report_value
from smallnet_core.judging.rules import best_of, held_to_record, judge, not_measured

__all__ = [
    "best_of",
    "difference_measurement",
    "held_to_record",
    "interval_95",
    "judge",
    "not_measured",
    "report_interval",
    "report_value",
]
