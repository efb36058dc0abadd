"""Grading: many people's answers to one exercise, each compared with the correct run.

    answers = list(read_answers("answers.csv"))
    for each in grade(answers, trace): print(each.name, each.result, each.points)

A number is compared to as many digits as were written. Wrong numbers are searched for the mistake
that produces them; numbers that follow from the answer's own earlier numbers are not wrong.
"""

from lstm_cli.commands.diagnose.grade.answers import Answer, AnswerColumn, column_of
from lstm_cli.commands.diagnose.grade.grader import Grader, grade, grade_sheet
from lstm_cli.commands.diagnose.grade.marking import Mark, Marked, mark
from lstm_cli.commands.diagnose.grade.reading import read_answers
from lstm_cli.commands.diagnose.grade.results import (
    RESULTS,
    Grade,
    GradeSettings,
    LikelyMistake,
    SymbolMark,
    WrongNumber,
)
from lstm_cli.commands.diagnose.grade.sheet import Asked, Sheet, SheetPlace, sheet_of, symbols_of
from lstm_cli.commands.diagnose.grade.summary import Gradebook, Summary

__all__ = [
    "RESULTS",
    "Answer",
    "AnswerColumn",
    "Asked",
    "Grade",
    "GradeSettings",
    "Gradebook",
    "Grader",
    "LikelyMistake",
    "Mark",
    "Marked",
    "Sheet",
    "SheetPlace",
    "Summary",
    "SymbolMark",
    "WrongNumber",
    "column_of",
    "grade",
    "grade_sheet",
    "mark",
    "read_answers",
    "sheet_of",
    "symbols_of",
]
