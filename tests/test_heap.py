import psutil

from eef_framework.heap import give_back_memory


def test_what_is_free_below_what_is_used_goes_back_to_the_system(holes):
    before = psutil.Process().memory_info().rss
    give_back_memory()
    assert before - psutil.Process().memory_info().rss > (holes << 20) / 2
