"""The schedules of holidays (节假日安排) as the notices of the General Office of the State Council say them.

The next year is published each November; a year that is not here is not known.

- 2025: 国办发明电〔2024〕12号, 12 November 2024, https://www.gov.cn/zhengce/zhengceku/202411/content_6986383.htm
- 2026: 国办发明电〔2025〕7号, 4 November 2025, https://www.gov.cn/zhengce/zhengceku/202511/content_7047091.htm

In 2025 the notice names 1 to 8 October 国庆节、中秋节 together; a day has one name here, so that a rule can ask for it:
the day of the full moon, the 6th, is 中秋节, the others are 国庆节.
"""

from __future__ import annotations

from typing import Final

from siyu.calendar.day import Days, read_days

NOTICES: Final = {2025: "国办发明电〔2024〕12号", 2026: "国办发明电〔2025〕7号"}

_2025: Final = """
2025-01-01,元旦,rest
2025-01-26,春节,work
2025-01-28~2025-02-04,春节,rest
2025-02-08,春节,work
2025-04-04~2025-04-06,清明节,rest
2025-04-27,劳动节,work
2025-05-01~2025-05-05,劳动节,rest
2025-05-31~2025-06-02,端午节,rest
2025-09-28,国庆节,work
2025-10-01~2025-10-05,国庆节,rest
2025-10-06,中秋节,rest
2025-10-07~2025-10-08,国庆节,rest
2025-10-11,国庆节,work
"""
_2026: Final = """
2026-01-01~2026-01-03,元旦,rest
2026-01-04,元旦,work
2026-02-14,春节,work
2026-02-15~2026-02-23,春节,rest
2026-02-28,春节,work
2026-04-04~2026-04-06,清明节,rest
2026-05-01~2026-05-05,劳动节,rest
2026-05-09,劳动节,work
2026-06-19~2026-06-21,端午节,rest
2026-09-20,国庆节,work
2026-09-25~2026-09-27,中秋节,rest
2026-10-01~2026-10-07,国庆节,rest
2026-10-10,国庆节,work
"""
PUBLISHED: Final = Days([*read_days(_2025), *read_days(_2026)])
"""Stands for every year that the brand has stored no days of its own for."""
