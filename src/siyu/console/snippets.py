"""Snippets for SDKs with the real address and key filled in, to be pasted as they are. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple


class Snippet(NamedTuple):
    """Code for one SDK. `@HOST@`, `@KEY@` and `@PROTOCOL@` are filled in."""

    id: str
    name: str
    ends: tuple[str, ...]
    """For which ends it is the usual choice; the first ones are shown first."""
    install: str
    code: str


_SENSORS_URL: Final = "@URL@/sa?project=default&token=@KEY@"

SNIPPETS: Final[tuple[Snippet, ...]] = (
    Snippet(
        "sensors-web", "神策 Web", ("web",), "npm install sa-sdk-javascript",
        f"""import sensors from 'sa-sdk-javascript'

sensors.init({{
  server_url: '{_SENSORS_URL}',
  is_track_single_page: true,
  use_client_time: true,
  send_type: 'beacon',
}})
sensors.quick('autoTrack')

sensors.login('user-1001')                       // 登录后
sensors.track('order.paid', {{ amount_fen: 12900, order_id: 'A1' }})
""",
    ),
    Snippet(
        "sensors-miniprogram", "神策 小程序", ("mini_program",), "npm install sa-sdk-miniprogram",
        f"""const sensors = require('sa-sdk-miniprogram')

sensors.setPara({{
  name: 'sensors',
  server_url: '{_SENSORS_URL}',
  autoTrack: {{ appLaunch: true, appShow: true, appHide: true, pageShow: true, pageShare: true }},
}})
sensors.init()

sensors.bind('$identity_mp_unionid', unionid)     // 拿到 unionid 后
sensors.login('user-1001')                        // 登录后
sensors.track('cart.added', {{ sku: 'tea-01', amount_fen: 5900 }})
""",
    ),
    Snippet(
        "sensors-ios", "神策 iOS", ("app",), "pod 'SensorsAnalyticsSDK'",
        f"""SAConfigOptions *options = [[SAConfigOptions alloc]
    initWithServerURL:@"{_SENSORS_URL}"
        launchOptions:launchOptions];
options.autoTrackEventType = SensorsAnalyticsEventTypeAppStart | SensorsAnalyticsEventTypeAppEnd;
[SensorsAnalyticsSDK startWithConfigOptions:options];

[[SensorsAnalyticsSDK sharedInstance] login:@"user-1001"];
[[SensorsAnalyticsSDK sharedInstance] track:@"order.paid" withProperties:@{{@"amount_fen": @12900}}];
""",
    ),
    Snippet(
        "sensors-android", "神策 Android", ("app",),
        "implementation 'com.sensorsdata.analytics.android:SensorsAnalyticsSDK:6+'",
        f"""SAConfigOptions options = new SAConfigOptions("{_SENSORS_URL}");
options.setAutoTrackEventType(SensorsAnalyticsAutoTrackEventType.APP_START);
SensorsDataAPI.startWithConfigOptions(this, options);

SensorsDataAPI.sharedInstance().login("user-1001");
SensorsDataAPI.sharedInstance().track("order.paid", new JSONObject().put("amount_fen", 12900));
""",
    ),
    Snippet(
        "sensors-python", "神策 Python", ("server",), "pip install SensorsAnalyticsSDK",
        f"""import sensorsanalytics

consumer = sensorsanalytics.DefaultConsumer("{_SENSORS_URL}")
sensors = sensorsanalytics.SensorsAnalytics(consumer)

sensors.track("user-1001", "order.paid", {{"amount_fen": 12900, "order_id": "A1"}}, is_login_id=True)
sensors.profile_set("user-1001", {{"city": "广州"}}, is_login_id=True)
sensors.flush()
""",
    ),
    Snippet(
        "segment-js", "Segment JS", ("web",), "npm install @segment/analytics-next",
        """import { AnalyticsBrowser } from '@segment/analytics-next'

const analytics = AnalyticsBrowser.load(
  { writeKey: '@KEY@', cdnSettings: { integrations: { 'Segment.io': { apiKey: '@KEY@' } } } },
  { integrations: { 'Segment.io': { apiHost: '@HOST@/v1', protocol: '@PROTOCOL@' } } },
)

analytics.page()
analytics.identify('user-1001', { phone: '13800138000', city: '广州' })
analytics.track('order.paid', { amount_fen: 12900, order_id: 'A1' })
""",
    ),
    Snippet(
        "segment-node", "Segment Node", ("server",), "npm install @segment/analytics-node",
        """import { Analytics } from '@segment/analytics-node'

const analytics = new Analytics({ writeKey: '@KEY@', host: '@URL@' })

analytics.identify({ userId: 'user-1001', traits: { phone: '13800138000' } })
analytics.track({ userId: 'user-1001', event: 'order.paid', properties: { amount_fen: 12900 } })
await analytics.closeAndFlush()
""",
    ),
    Snippet(
        "segment-python", "Segment Python", ("server",), "pip install segment-analytics-python",
        """import segment.analytics as analytics

analytics.write_key = "@KEY@"
analytics.host = "@URL@"

analytics.identify("user-1001", {"phone": "13800138000", "city": "广州"})
analytics.track("user-1001", "order.paid", {"amount_fen": 12900, "order_id": "A1"})
analytics.flush()
""",
    ),
    Snippet(
        "rudder-node", "RudderStack Node", ("server",), "npm install @rudderstack/rudder-sdk-node",
        """const RudderAnalytics = require('@rudderstack/rudder-sdk-node')

const client = new RudderAnalytics('@KEY@', { dataPlaneUrl: '@URL@' })
client.track({ userId: 'user-1001', event: 'order.paid', properties: { amount_fen: 12900 } })
""",
    ),
    Snippet(
        "rudder-python", "RudderStack Python", ("server",), "pip install rudder-sdk-python",
        """import rudderstack.analytics as rudder

rudder.write_key = "@KEY@"
rudder.dataPlaneUrl = "@URL@"

rudder.track("user-1001", "order.paid", {"amount_fen": 12900})
rudder.flush()
""",
    ),
    Snippet(
        "posthog-js", "PostHog JS", ("web",), "npm install posthog-js",
        """import posthog from 'posthog-js'

posthog.init('@KEY@', { api_host: '@URL@', advanced_disable_flags: true, disable_session_recording: true })

posthog.identify('user-1001', { phone: '13800138000' })
posthog.capture('order.paid', { amount_fen: 12900 })
""",
    ),
    Snippet(
        "curl", "HTTP (curl)", ("server", "wecom", "official_account"), "",
        """curl -u '@KEY@:' @URL@/v1/batch -d '{"batch": [
  {"type": "identify", "userId": "user-1001", "traits": {"phone": "13800138000", "city": "广州"}},
  {"type": "track", "userId": "user-1001", "event": "order.paid",
   "properties": {"amount_fen": 12900, "order_id": "A1"}}
]}'
""",
    ),
    Snippet(
        "pos", "POS 收银 (curl)", ("store",), "",
        """curl -u '@KEY@:' @URL@/v1/batch -d '{"batch": [
  {"type": "track", "event": "order.paid", "messageId": "till-7-20261122-0042",
   "context": {"end": "store", "externalIds": [{"type": "member_card", "id": "M-88812"}]},
   "properties": {"amount_fen": 6800, "order_id": "till-7-0042", "store": "广州天河店"}}
]}'
""",
    ),
)  # fmt: skip


def snippets(url: str, key: str, end: str) -> list[Snippet]:
    """All snippets filled in, those usual for the end first."""
    protocol, _, host = url.partition("://")
    words = {"@KEY@": key, "@URL@": url, "@HOST@": host, "@PROTOCOL@": protocol}
    filled = []
    for snippet in sorted(SNIPPETS, key=lambda one: end not in one.ends):
        code = snippet.code
        for word, value in words.items():
            code = code.replace(word, value)
        filled.append(snippet._replace(code=code))
    return filled
