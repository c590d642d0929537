import torch

from eef_framework.policies.logits_cache import LogitsCache

LOGITS = torch.arange(4.0)  # 16 bytes, and 8 for each token of the key


def test_what_was_put_is_found():
    memory = LogitsCache(1000)
    memory.put((1, 2), LOGITS)
    assert memory.get((1, 2)).equal(LOGITS)
    assert memory.get((1,)) is None


def test_the_least_recently_used_goes_first():
    memory = LogitsCache(60)
    memory.put((1,), LOGITS)
    memory.put((2,), LOGITS)
    memory.get((1,))
    memory.put((3,), LOGITS)
    assert [memory.get((key,)) is not None for key in (1, 2, 3)] == [True, False, True]


def test_what_has_no_room_is_not_kept():
    memory = LogitsCache(20)
    memory.put((1,), LOGITS)
    assert memory.get((1,)) is None


def test_logits_are_copied_out_of_their_batch():
    memory, batch = LogitsCache(1000), torch.zeros(2, 4)
    memory.put((1,), batch[0])
    batch[0] = 7.0
    assert memory.get((1,)).equal(torch.zeros(4))
