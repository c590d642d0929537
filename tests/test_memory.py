import psutil

from eef_framework.memory import release_memory


def test_what_is_free_below_what_is_used_goes_back_to_the_system(holes):
    before = psutil.Process().memory_info().rss
    release_memory()
    assert before - psutil.Process().memory_info().rss > (holes << 20) / 2
