"""Django's settings. Values come from `config.py`; here is only how Django wants them."""

import os
import secrets
from datetime import timedelta
from typing import Any

from csp.constants import NONE, SELF

from avatar_contracts.streams import BROKER_KEY_PREFIX, CONTROL_QUEUE
from avatar_platform.config import REPOSITORY_ROOT, get_settings
from avatar_platform.database import database_from_url
from avatar_platform.observability import configure_logging
from avatar_platform.schedule import BEAT_SCHEDULE
from avatar_platform.web.look import UNFOLD as UNFOLD

config = get_settings()
VAR_DIR = REPOSITORY_ROOT / "var"


def _secret_key() -> str:
    """The configured key, or one made once for this checkout (one machine, no deployment)."""
    if configured := config.django_secret_key.get_secret_value():
        return configured
    path = VAR_DIR / "django_secret_key"
    VAR_DIR.mkdir(exist_ok=True)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return path.read_text()
    with os.fdopen(descriptor, "w") as file:
        file.write(key := secrets.token_urlsafe(64))
    return key


SECRET_KEY = _secret_key()
DEBUG = config.django_debug
ALLOWED_HOSTS = config.hosts
ROOT_URLCONF = "avatar_platform.urls"
ASGI_APPLICATION = "avatar_platform.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "channels",
    "axes",
    "csp",
    "ninja",
    "avatar_platform.access",
    "avatar_platform.characters",
    "avatar_platform.fleet",
    "avatar_platform.webhooks",
    "avatar_platform.sessions",
    "avatar_platform.web",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "avatar_platform.observability.RequestContextMiddleware",
    "avatar_platform.api.ApiProblemsMiddleware",
    "avatar_platform.security.PolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {"default": database_from_url(config.database_url.get_secret_value(), REPOSITORY_ROOT)}

REDIS_URL = config.redis_url.get_secret_value()
# redis-py 8 gives every socket a read timeout of 5 s, which cuts Channels' blocking reads.
CHANNEL_LAYERS: dict[str, Any] = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {
            "hosts": [{"address": REDIS_URL, "socket_timeout": None}],
            "prefix": "avatar:channels",
        },
    }
}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "avatar:cache",
    }
}

# --- people -------------------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_VERBOSE = False
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "admin:login"

# --- transport security: follows from how people reach us ---------------------------------------
CSRF_TRUSTED_ORIGINS = [config.platform_url]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if config.is_secure else None
SECURE_SSL_REDIRECT = config.is_secure
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$", r"^internal/", r"^livekit/"]
SECURE_HSTS_SECONDS = 31_536_000 if config.is_secure else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = config.is_secure
SECURE_HSTS_PRELOAD = config.is_secure
SESSION_COOKIE_SECURE = config.is_secure
CSRF_COOKIE_SECURE = config.is_secure
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1 << 20
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF, "'unsafe-inline'"],
        "img-src": [SELF, "data:", "blob:"],
        "media-src": [SELF, "blob:", "mediastream:"],
        "connect-src": [
            SELF,
            config.browser_livekit_url,
            config.browser_livekit_url.replace("ws", "http", 1),
        ],
        "worker-src": [SELF, "blob:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# --- files --------------------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
MEDIA_ROOT = (
    config.media_root if config.media_root.is_absolute() else REPOSITORY_ROOT / config.media_root
)
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
# Served straight from the packages: nothing to collect on one machine, a second's start at most.
WHITENOISE_USE_FINDERS = True
STATIC_ROOT.mkdir(parents=True, exist_ok=True)

# --- words and times ----------------------------------------------------------------------------
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
FORMAT_MODULE_PATH = ["avatar_platform.formats"]
USE_I18N = True

# --- tasks: the control worker. Reasons and measurements: docs/architecture.md -------------------
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Control tasks last 30 s at most; nothing else ever stays unacknowledged.
    "visibility_timeout": 120,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_timeout": 10,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "global_keyprefix": BROKER_KEY_PREFIX,
}
CELERY_TASK_DEFAULT_QUEUE = CONTROL_QUEUE
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_TIME_LIMIT = 30
CELERY_TASK_SOFT_TIME_LIMIT = 25
CELERY_TASK_PUBLISH_RETRY_POLICY = {
    "max_retries": 3,
    "interval_start": 0,
    "interval_step": 0.2,
    "interval_max": 1,
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = True
CELERY_WORKER_CONCURRENCY = 2
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_SCHEDULE = BEAT_SCHEDULE
CELERY_TIMEZONE = "UTC"
DJANGO_CELERY_BEAT_TZ_AWARE = True

LOGGING_CONFIG = None
configure_logging(debug=DEBUG)
