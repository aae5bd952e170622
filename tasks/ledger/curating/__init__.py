"""What the curators' desk asks the ledger: a queue, an item, decisions with undo, people."""

from tasks.ledger.curating.deciding import (
    DECIDED_AT_DESK,
    DecidedMeanwhile,
    Judgement,
    JudgementResult,
    decide,
    take_back_opinion,
)
from tasks.ledger.curating.item import DeskItem, desk_item
from tasks.ledger.curating.news import News, latest_decision, news_since
from tasks.ledger.curating.queue import Place, Queue, QueueCount, queue, waiting
from tasks.ledger.curating.shots import ShotJudgement, judge_shot, make_anew
from tasks.ledger.curating.undoing import deciders_of, undo
