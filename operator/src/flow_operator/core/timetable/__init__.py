"""Timetables: the moments at which a schedule ticks, computed from its definition alone."""

from flow_operator.core.timetable.build import TimetableError, timetable_of
from flow_operator.core.timetable.lookup import latest, next_tick
from flow_operator.core.timetable.zone import Timetable

__all__ = ["Timetable", "TimetableError", "latest", "next_tick", "timetable_of"]
