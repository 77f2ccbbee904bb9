"""Dimensions of the relation: sharing, messages, membership."""
# ruff: noqa: E501 - a table: one entry, one line.

from __future__ import annotations

from typing import Final

from siyu.dimensions.dimension import HOUR, Band, Dimension, Ratio, Total
from siyu.dimensions.expressions import (
    count,
    distinct,
    figure,
    first,
    last,
    latest,
    percent,
    since,
    streak,
    total,
)
from siyu.dimensions.values import LEVELS

_SHARE, _CHECKIN = "share.sent", "checkin"
_REACHED: Final = ("share.engaged", "groupbuy.completed", "invite.succeeded")
_SENT, _OPENED, _CLICKED = "message.sent", "message.opened", "message.clicked"
_REACTED: Final = (_OPENED, _CLICKED)

# fmt: off
RELATION: Final = (
    Dimension("shares", "分享次数", "Shares", "share", "times", count(_SHARE), "How often something was shared.", "分享的次数。"),
    Dimension("shares_30d", "近30天分享次数", "Shares in 30 days", "share", "times", count(_SHARE, last(30)), "Shared in the last 30 days.", "最近30天分享的次数。"),
    Dimension("last_share_at", "最近分享时间", "Shared last at", "share", "", latest(_SHARE), "When something was shared last.", "最近一次分享的时间。"),
    Dimension("days_since_share", "距上次分享天数", "Days since share", "share", "days", since(_SHARE), "Local days since the last share.", "距最近一次分享的天数。"),
    Dimension("friends_engaged", "好友参与次数", "Friends who took part", "share", "times", count("share.engaged"), "How often a friend took part in a share.", "好友参与分享的次数。"),
    Dimension("reach_per_share", "每次分享带来参与", "Reach of a share", "share", "percent", percent(count("share.engaged"), count(_SHARE)), "Friends who took part for a hundred shares.", "每百次分享带来的好友参与。"),
    Dimension("shares_opened", "打开分享次数", "Shares opened", "share", "times", count("share.opened"), "How often the person opened what others shared.", "打开他人分享的次数。"),
    Dimension("invites_sent", "邀请好友次数", "Invites sent", "share", "times", count("invite.sent"), "Invitations sent.", "邀请好友的次数。"),
    Dimension("invites_accepted", "接受邀请次数", "Invites accepted", "share", "times", count("invite.accepted"), "Invitations accepted by this person.", "接受他人邀请的次数。"),
    Dimension("friends_invited", "成功邀请好友数", "Friends invited", "share", "persons", distinct("friend", "invite.succeeded"), "Different friends who accepted this person's invitation.", "接受此人邀请的不同好友数。"),
    Dimension("inviter", "邀请人", "Inviter", "share", "", figure("earliest", "invite.accepted", "inviter", "inviter_id"), "Who invited this person, as the event says.", "邀请此人的人（事件所写）。"),
    Dimension("assists_started", "发起助力次数", "Assists started", "share", "times", count("assist.started"), "How often the person asked for help.", "发起助力的次数。"),
    Dimension("assists_given", "助力好友次数", "Assists given", "share", "times", count("assist.given"), "How often the person helped.", "帮好友助力的次数。"),
    Dimension("group_buys_opened", "开团次数", "Group buys opened", "share", "times", count("groupbuy.opened"), "Group buys begun by this person.", "发起拼团的次数。"),
    Dimension("group_buys_joined", "参团次数", "Group buys joined", "share", "times", count("groupbuy.joined"), "Group buys joined.", "参加拼团的次数。"),
    Dimension("group_buys_completed", "成团次数", "Group buys completed", "share", "times", count("groupbuy.completed"), "Group buys that became full.", "拼团成功的次数。"),
    Dimension("referral_reach", "裂变影响力", "Referral reach", "share", "times", Total((count("invite.sent"), count("share.engaged"), count("groupbuy.completed"), count("invite.succeeded"))), "Invitations, friends who took part or joined, full groups.", "邀请、好友参与、邀请成功、成团的总次数。"),
    Dimension("referral_level", "裂变影响力等级", "Level of referral reach", "share", "", Band(Total((count("invite.sent"), count(_REACHED))), (3, 10), ("low", "medium", "high")), "By referral reach: below 3 low, from 10 high.", "按裂变影响力：3次以下低，10次起高。", choices=LEVELS),
    Dimension("messages", "收到消息数", "Messages", "message", "items", count(_SENT), "Messages sent to the person.", "发给此人的消息数。"),
    Dimension("messages_7d", "近7天收到消息数", "Messages in 7 days", "message", "items", count(_SENT, last(7)), "Messages of the last 7 days: before one more, look here.", "最近7天收到的消息数：再发之前看看这里。"),
    Dimension("messages_30d", "近30天收到消息数", "Messages in 30 days", "message", "items", count(_SENT, last(30)), "Messages of the last 30 days.", "最近30天收到的消息数。"),
    Dimension("messages_delivered", "送达消息数", "Messages delivered", "message", "items", count("message.delivered"), "Messages that arrived.", "送达的消息数。"),
    Dimension("messages_failed", "失败消息数", "Messages failed", "message", "items", count("message.failed"), "Messages that did not arrive.", "没有送达的消息数。"),
    Dimension("messages_opened", "打开消息数", "Messages opened", "message", "items", count(_OPENED), "Messages opened.", "打开的消息数。"),
    Dimension("messages_opened_30d", "近30天打开消息数", "Messages opened in 30 days", "message", "items", count(_OPENED, last(30)), "Messages opened in the last 30 days.", "最近30天打开的消息数。"),
    Dimension("messages_clicked", "点击消息数", "Messages clicked", "message", "items", count(_CLICKED), "Messages clicked.", "点击的消息数。"),
    Dimension("messages_clicked_30d", "近30天点击消息数", "Messages clicked in 30 days", "message", "items", count(_CLICKED, last(30)), "Messages clicked in the last 30 days.", "最近30天点击的消息数。"),
    Dimension("open_share", "消息打开率", "Open share", "message", "percent", percent(count(_OPENED), count(_SENT), 100), "Of the messages sent, those opened.", "收到的消息中打开的比例。"),
    Dimension("open_share_90d", "近90天消息打开率", "Open share in 90 days", "message", "percent", percent(count(_OPENED, last(90)), count(_SENT, last(90)), 100), "The same of the last 90 days.", "最近90天消息打开的比例。"),
    Dimension("click_share", "消息点击率", "Click share", "message", "percent", percent(count(_CLICKED), count(_SENT), 100), "Of the messages sent, those clicked.", "收到的消息中点击的比例。"),
    Dimension("message_reaction", "消息响应度", "Reaction to messages", "message", "", Band(percent(count(_REACTED), count(_SENT), 100), (10, 40), ("low", "medium", "high")), "Opened or clicked for a hundred messages: below 10 low, from 40 high.", "每百条消息的打开与点击：10以下低，40起高。", choices=LEVELS),
    Dimension("last_message_at", "最近收到消息时间", "Last message at", "message", "", latest(_SENT), "When the last message was sent.", "最近一次收到消息的时间。"),
    Dimension("last_reaction_at", "最近响应消息时间", "Last reaction at", "message", "", latest(_REACTED), "When a message was opened or clicked last.", "最近一次打开或点击消息的时间。"),
    Dimension("days_since_message", "距上次消息天数", "Days since message", "message", "days", since(_SENT), "Local days since the last message.", "距最近一次收到消息的天数。"),
    Dimension("days_since_reaction", "距上次响应天数", "Days since reaction", "message", "days", since(_REACTED), "Local days since a message was opened or clicked.", "距最近一次打开或点击消息的天数。"),
    Dimension("reaction_hour", "响应消息时段", "Hour of reactions", "message", "hour", figure("commonest", _REACTED, HOUR), "The local hour in which messages are opened most.", "打开消息最多的小时。"),
    Dimension("reaction_channel", "响应消息渠道", "Channel of reactions", "message", "", figure("commonest", _REACTED, "channel", "@end"), "The channel whose messages are opened most.", "打开消息最多的渠道。"),
    Dimension("unsubscribes", "退订次数", "Unsubscribes", "message", "times", count("message.unsubscribed"), "How often messages were refused.", "退订消息的次数。"),
    Dimension("member_since", "入会时间", "Member since", "member", "", first("member.joined"), "When the person became a member.", "成为会员的时间。"),
    Dimension("member_days", "入会天数", "Days a member", "member", "days", since("member.joined", "first_day"), "Local days since the person became a member.", "成为会员的天数。"),
    Dimension("registered_at", "注册时间", "Registered at", "member", "", first("user.registered"), "When the person registered.", "注册的时间。"),
    Dimension("logins", "登录次数", "Logins", "member", "times", count("user.login"), "How often the person logged in.", "登录的次数。"),
    Dimension("logins_30d", "近30天登录次数", "Logins in 30 days", "member", "times", count("user.login", last(30)), "Logins in the last 30 days.", "最近30天登录的次数。"),
    Dimension("checkins", "签到次数", "Check-ins", "member", "times", count(_CHECKIN), "Check-ins, ever.", "一共签到多少次。"),
    Dimension("checkins_30d", "近30天签到次数", "Check-ins in 30 days", "member", "times", count(_CHECKIN, last(30)), "Check-ins in the last 30 days.", "最近30天签到的次数。"),
    Dimension("checkin_streak", "连续签到天数", "Check-in streak", "member", "days", streak(_CHECKIN), "Days in a row up to today or yesterday.", "到今天（或昨天）为止连续签到的天数。"),
    Dimension("checkin_longest", "最长连续签到天数", "Longest check-in streak", "member", "days", figure("run", _CHECKIN), "The longest row of days with a check-in.", "历史上最长的连续签到天数。"),
    Dimension("last_checkin_at", "最近签到时间", "Checked in last at", "member", "", latest(_CHECKIN), "When the person checked in last.", "最近一次签到的时间。"),
    Dimension("points_earned", "获得积分", "Points earned", "member", "items", total("points", "points.earned"), "Points the events of earning tell of (property points).", "获得积分事件所写的积分之和。"),
    Dimension("points_spent", "使用积分", "Points spent", "member", "items", total("points", "points.spent"), "Points the events of spending tell of (property points).", "使用积分事件所写的积分之和。"),
    Dimension("points_use_share", "积分使用率", "Points use share", "member", "percent", Ratio(total("points", "points.spent"), total("points", "points.earned"), 100, 100), "Of the points earned, those spent.", "获得的积分中使用的比例。"),
    Dimension("tier_changes", "等级变化次数", "Tier changes", "member", "times", count("tier.changed"), "How often the tier changed.", "会员等级变化的次数。"),
    Dimension("last_tier", "最近等级", "Last tier", "member", "", figure("latest", "tier.changed", "to", "tier"), "The tier the last change led to.", "最近一次变化后的等级。"),
    Dimension("quests", "完成任务次数", "Quests", "member", "times", count("quest.completed"), "Quests completed.", "完成任务的次数。"),
    Dimension("lotteries", "抽奖次数", "Lotteries", "member", "times", count("lottery.drawn"), "Lotteries drawn.", "抽奖的次数。"),
    Dimension("campaigns_met", "参与活动来源数", "Campaigns met", "member", "kinds", distinct("@context.campaign.name"), "Different campaigns whose links brought actions.", "带来行为的不同投放活动数。"),
)
# fmt: on
