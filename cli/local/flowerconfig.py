"""Flower's configuration file (`celery flower --conf`): nothing can be changed through it.

Flower has no read-only mode; its API sends tasks and shuts workers down. Tornado answers 405 to a method that a handler
does not list. The tasks page asks for its table by POST, which only reads. Login comes from FLOWER_BASIC_AUTH.
"""

from flower.views import BaseHandler
from flower.views.tasks import TasksDataTable

BaseHandler.SUPPORTED_METHODS = ("GET", "HEAD", "OPTIONS")
TasksDataTable.SUPPORTED_METHODS = ("GET", "HEAD", "OPTIONS", "POST")
