"""The number of shards of a data directory: chosen when it is created, and fixed from then on."""

from pathlib import Path

import pytest

from apps.stack.credentials.nats import RIGHTS, of_shards
from apps.stack.directory import JOURNALS, SHARDS, keep_shards, shards_of
from apps.stack.services import Choices
from apps.stack.trouble import CannotStart


def test_a_new_directory_gets_the_number_that_is_asked_for_and_one_without_a_word(tmp_path: Path) -> None:
    assert [shards_of(tmp_path, wanted, fresh=False) for wanted in (None, 1, 4)] == [1, 1, 4]
    keep_shards(tmp_path, 1)
    assert list(tmp_path.iterdir()) == [], "one shard leaves no trace"


def test_a_directory_keeps_its_number_and_refuses_another_naming_both(tmp_path: Path) -> None:
    keep_shards(tmp_path, 4)
    assert [shards_of(tmp_path, wanted, fresh=False) for wanted in (None, 4)] == [4, 4]
    with pytest.raises(CannotStart, match="was created with 4 shards, and --shards is 2"):
        shards_of(tmp_path, 2, fresh=False)
    assert shards_of(tmp_path, 2, fresh=True) == 2, "it is created again"


def test_a_directory_of_before_has_one_shard(tmp_path: Path) -> None:
    (tmp_path / JOURNALS).mkdir()
    assert shards_of(tmp_path, None, fresh=False) == 1
    with pytest.raises(CannotStart, match="was created with 1 shard, and --shards is 4"):
        shards_of(tmp_path, 4, fresh=False)


def test_a_file_that_holds_no_number_is_named(tmp_path: Path) -> None:
    (tmp_path / SHARDS).write_text("four\n")
    with pytest.raises(CannotStart, match="cannot be read"):
        shards_of(tmp_path, None, fresh=False)


def test_desk_follows_one_shard_and_is_not_started_for_several(tmp_path: Path) -> None:
    assert ["desk" in Choices(tmp_path, shards=shards).services() for shards in (1, 2)] == [True, False]


def test_rights_name_the_stream_of_each_shard_and_no_service_may_ask_for_more() -> None:
    one, two = ({subject for subject in of_shards(RIGHTS["exeq"], shards).publish if "OMS_JOURNAL" in subject} for shards in (1, 2))
    assert one - {"journals.STREAM.INFO.OMS_JOURNAL_0"} == {
        f"journals.{verb}.OMS_JOURNAL" for verb in ("STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET")
    }
    assert two - {"journals.STREAM.INFO.OMS_JOURNAL"} == {
        f"journals.{verb}.OMS_JOURNAL_{shard}" for verb in ("STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET") for shard in (0, 1)
    }
