from eef_sciworld.unreachable_objects import unreachable_objects

OPEN, CLOSED = {"isOpen": True}, {"isOpen": False}


def thing(name, *parts, container=None, life=None):
    contents = {part["uuid"]: part for part in parts}
    return {"uuid": name, "name": name, "propContainer": container, "propLife": life, "contents": contents}


def unreachable(*things):
    return set(unreachable_objects(thing("universe", *things, container=OPEN)))


def test_what_is_in_closed_containers_is_unreachable_however_deep_and_they_themselves_are_not():
    cup = thing("cup", thing("water"), container=OPEN)
    assert unreachable(thing("cupboard", cup, container=CLOSED)) == {"cup", "water"}
    assert unreachable(thing("cupboard", cup, container=OPEN)) == set()


def test_parts_of_devices_and_flowers_of_plants_are_not_unreachable_but_what_is_on_animals_is():
    assert unreachable(thing("wire", thing("terminal 1"))) == set()
    assert unreachable(thing("tree", thing("flower"), container=OPEN, life={"name": "tree"})) == set()
    assert unreachable(thing("bee", thing("pollen"), life={"name": "bee"})) == {"pollen"}


def test_the_sewer_is_unreachable():
    assert unreachable(thing("sewer", container=OPEN), thing("kitchen", container=OPEN)) == {"sewer"}
